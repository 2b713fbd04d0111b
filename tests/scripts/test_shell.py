"""What is written for a shell runs in every POSIX shell, as shellcheck judges."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT

pytestmark = pytest.mark.program

SHELLCHECK = Path(sys.executable).parent / "shellcheck"


@pytest.mark.parametrize("name", ["scripts/install.sh", ".ci/run"])
def test_shellcheck_finds_nothing(name):
    done = subprocess.run(
        [SHELLCHECK, ROOT / name], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_installer_asks_for_no_more_than_a_posix_shell():
    assert (ROOT / "scripts" / "install.sh").read_text().startswith("#!/bin/sh\n")
