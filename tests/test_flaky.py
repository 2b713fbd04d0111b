"""A test on the control plane has a second try; no other test has, and nothing is hidden."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.program

ROOT = Path(__file__).parent.parent

CONFTEST = 'pytest_plugins = ["tests.flaky"]\n'
INI = "[pytest]\nmarkers =\n  controlplane\n  karpenter\naddopts = --strict-markers\n"

# Passes from the second try on: the first one leaves a file behind.
MACHINE = """
from pathlib import Path
import pytest

def first_time(name):
    seen = Path(__file__).with_name(f"{name}.seen")
    if seen.exists():
        return False
    seen.touch()
    return True
"""

PASSES_THEN = """
@pytest.mark.controlplane
def test_busy():
    assert not first_time("busy"), "the machine was busy"
"""

FAILS_TWICE = """
@pytest.mark.karpenter
def test_broken():
    assert first_time("broken") is None, "it is broken"
"""

PLAIN = """
def test_plain():
    assert not first_time("plain"), "a plain failure"
"""

PASSES = """
def test_sound():
    pass
"""

FLAKY = """
@pytest.mark.controlplane
@pytest.mark.parametrize("number", range({n}))
def test_busy(number):
    assert not first_time(f"busy-{{number}}"), f"busy with {{number}}"
"""

NOT_SET_UP = """
@pytest.fixture
def control_plane():
    if first_time("servers"):
        raise OSError("no server in time")
    yield
    if first_time("end"):
        raise OSError("a server did not end")

def test_on_a_fixture(control_plane):
    pass
"""

SKIPS_THEN = """
@pytest.mark.controlplane
def test_skips():
    if not first_time("skips"):
        pytest.skip("nothing to see")
    raise OSError("once")
"""

DIES_THEN = """
import os

@pytest.mark.controlplane
def test_dies():
    if not first_time("dies"):
        os._exit(0)
    raise OSError("once")
"""

WAYS = ([], ["-p", "xdist.plugin", "-n", "2", "--dist", "loadfile"])


@pytest.fixture
def run(tmp_path):
    """Runs pytest on files of these texts; returns its exit code and what it printed."""

    def run(*tests, more=()):
        (tmp_path / "conftest.py").write_text(CONFTEST)
        (tmp_path / "pytest.ini").write_text(INI)
        for number, text in enumerate(tests):
            (tmp_path / f"test_{number}.py").write_text(MACHINE + text)
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *more]
        ours = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
        environment = ours | {
            "PYTHONPATH": str(ROOT),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "COLUMNS": "120",
        }
        ended = subprocess.run(
            command,
            check=False,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
        return ended.returncode, ended.stdout + ended.stderr

    return run


def closing(printed):
    """The counts in pytest's last line."""
    words = printed.strip().splitlines()[-1].strip("= ").split(" in ")[0]
    return sorted(words.split(", "))


@pytest.mark.parametrize("more", WAYS)
def test_who_passes_on_the_second_try_is_printed_and_the_run_is_good(run, more):
    code, printed = run(PASSES_THEN, PASSES, more=more)
    assert code == 0
    assert closing(printed) == ["1 flaky", "2 passed"]
    assert "flaky" in printed
    assert "AssertionError: the machine was busy" in printed
    assert "test_0.py::test_busy: failed, and passed on a second try, alone" in printed


@pytest.mark.parametrize("more", WAYS)
def test_who_fails_twice_has_failed(run, more):
    code, printed = run(FAILS_TWICE, PASSES, more=more)
    assert code == 1
    assert closing(printed) == ["1 failed", "1 passed"]
    assert printed.count("E       AssertionError: it is broken") == 2


def test_three_flaky_tests_are_forgiven(run):
    code, printed = run(FLAKY.format(n=3))
    assert code == 0
    assert closing(printed) == ["3 flaky", "3 passed"]


def test_four_flaky_tests_fail_the_run(run):
    code, printed = run(FLAKY.format(n=4))
    assert code == 1
    assert closing(printed) == ["4 failed", "4 flaky"]
    assert "4 flaky tests, at most 3 are forgiven" in printed


@pytest.mark.parametrize("more", WAYS)
def test_a_plain_failure_has_no_second_try(run, more):
    code, printed = run(PLAIN, PASSES, more=more)
    assert code == 1
    assert closing(printed) == ["1 failed", "1 passed"]
    assert "second try" not in printed


def test_a_plain_failure_is_not_forgiven_beside_a_flaky_one(run):
    code, printed = run(PLAIN, PASSES_THEN)
    assert code == 1
    assert closing(printed) == ["1 failed", "1 flaky", "1 passed"]


def test_a_fixture_that_fails_at_its_start_has_a_second_try(run):
    code, printed = run(NOT_SET_UP)
    # The second try meets the failing end of the fixture, which the first one did not reach.
    assert code == 1
    assert closing(printed) == ["1 error"]
    assert "no server in time" in printed
    assert "a server did not end" in printed


def test_who_is_skipped_the_second_time_has_not_passed(run):
    code, printed = run(SKIPS_THEN)
    assert code == 1
    assert closing(printed) == ["1 failed"]


def test_a_second_try_that_ends_early_has_not_passed(run):
    code, printed = run(DIES_THEN)
    assert code == 1
    assert closing(printed) == ["1 failed"]
    assert "did not run to its end" in printed


def test_a_run_that_stops_at_a_failure_has_no_second_try(run):
    code, printed = run(PASSES_THEN, PASSES, more=["-x"])
    assert code == 1
    assert closing(printed) == ["1 failed"]


def test_more_failures_than_a_machine_makes_have_no_second_try(run):
    code, printed = run(FLAKY.format(n=21))
    assert code == 1
    assert closing(printed) == ["21 failed"]
    assert "second try, alone" not in printed
