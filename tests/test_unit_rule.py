"""A unit test has no mark, and starts no program."""

import re
import subprocess
import sys
import tomllib

import pytest

from tests.paths import ROOT


def test_the_unit_tests_are_those_without_a_mark():
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    marks = {line.partition(":")[0] for line in options["markers"]}
    makefile = (ROOT / "Makefile").read_text()
    (left_out,) = re.findall(r'^UNIT := "not \(([a-z_ ]+)\)"$', makefile, re.MULTILINE)
    assert "--hypothesis-profile unit -m $(UNIT)\n" in makefile
    assert set(left_out.split(" or ")) == marks


def test_a_program_of_a_test_without_a_mark_is_stopped_before_it_starts():
    with pytest.raises(AssertionError, match="mark the test `program`"):
        subprocess.run([sys.executable, "-c", ""], check=True)


@pytest.mark.program
def test_with_the_mark_it_runs():
    subprocess.run([sys.executable, "-c", ""], check=True)
