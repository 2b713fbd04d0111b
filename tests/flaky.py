"""A second try, alone, for a test on a real control plane that failed.

Comes in: the reports of a run, on the process that prints them (with pytest-xdist, the
controller). Goes out: the section `flaky`, pytest's counts, and the exit status. A test on a
control plane shares two cores with five servers, so that one failure may be the machine's; all
such tests are run once more in one fresh process after everything else has ended. Who passes then
counts as passed and as flaky; who fails again has failed; more than `MAX_FLAKY` flaky tests have
all failed. May not repeat any other test, nor hide the text of a failure. A run that was told to
stop at a failure (`-x`, `--pdb`) has no second try.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.controlplane.needs import on_control_plane

MAX_FLAKY = 3
MAX_AGAIN = 20
"""A run with more failures than this has a reason that no second try will change."""
TEST_S = 600
"""The longest time that one test may take alone, its control plane included."""

_OPTION = "--second-try"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(_OPTION, metavar="FILE", help="be a second try; write the outcomes to FILE")


def pytest_configure(config: pytest.Config) -> None:
    if outcomes := config.getoption(_OPTION):
        config.pluginmanager.register(Outcomes(Path(outcomes)), "second-try-outcomes")
    elif not (_is_worker(config) or _stops_early(config)):
        config.pluginmanager.register(SecondTry(config), "second-try")


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _stops_early(config: pytest.Config) -> bool:
    asked = config.option
    return bool(asked.maxfail or asked.usepdb or asked.collectonly)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write into the report, which travels to the controller, where the test runs."""
    report = yield
    report.on_control_plane = on_control_plane(item)
    return report


class Outcomes:
    """Writes each report of a second try as a line of JSON.

    Args:
        path: the file that the first run reads.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        line = {
            "test": report.nodeid,
            "when": report.when,
            "outcome": report.outcome,
            "text": report.longreprtext,
        }
        with self._path.open("a") as lines:
            lines.write(json.dumps(line) + "\n")


@dataclass(slots=True)
class Found:
    """What the second try found.

    Attributes:
        steps: how many of its three steps (setup, call, teardown) passed, by test.
        failures: the text of the second failure, by test.
    """

    steps: Counter[str] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)

    def why_not(self, test: str) -> str | None:
        """Return why a test has not passed the second time, `None` if it has."""
        if test in self.failures:
            return self.failures[test]
        return None if self.steps[test] == 3 else "it did not run to its end the second time"


class SecondTry:
    """Sets failures on the control plane aside, and judges them after the second try.

    Args:
        config: of the process that prints the reports.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._aside: dict[str, list[pytest.TestReport]] = {}
        self._flaky: dict[str, list[pytest.TestReport]] = {}
        self._why_not: dict[str, str] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(
        self, report: pytest.TestReport | pytest.CollectReport
    ) -> tuple[str, str, str] | None:
        if not _may_be_the_machine(report):
            return None
        self._aside.setdefault(report.nodeid, []).append(report)
        return "", "A", "AGAIN"

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Run what was set aside once more, now that workers and servers have ended."""
        if not self._aside:
            return
        reports = [report for some in self._aside.values() for report in some]
        completed = exitstatus == pytest.ExitCode.TESTS_FAILED
        if completed and len(self._aside) <= MAX_AGAIN:
            self._judge(_run_alone(self._config, list(self._aside)))
        else:
            self._why_not = dict.fromkeys(self._aside, "there was no second try")
        self._count()
        forgiven = not self._why_not and len(self._flaky) <= MAX_FLAKY
        if completed and forgiven and session.testsfailed == len(reports):
            session.exitstatus = pytest.ExitCode.OK

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the first failure of each test that had a second try."""
        if self._flaky:
            terminalreporter.section("flaky")
            for test, reports in self._flaky.items():
                terminalreporter.line(f"{test}: failed, and passed on a second try, alone")
                for report in reports:
                    terminalreporter.line(report.longreprtext)
            if len(self._flaky) > MAX_FLAKY:
                terminalreporter.line(
                    f"{len(self._flaky)} flaky tests, at most {MAX_FLAKY} are forgiven", red=True
                )
        if self._why_not:
            terminalreporter.section("second failures")
            for test, why in self._why_not.items():
                terminalreporter.line(f"{test}\n{why}")

    def _judge(self, found: Found) -> None:
        for test, reports in self._aside.items():
            why_not = found.why_not(test)
            if why_not is None:
                self._flaky[test] = reports
            else:
                self._why_not[test] = why_not

    def _count(self) -> None:
        """Bring pytest's closing line up to date: every test set aside gets its final count."""
        stats = self._config.pluginmanager.getplugin("terminalreporter").stats
        too_many = len(self._flaky) > MAX_FLAKY
        for test, reports in self._aside.items():
            if test in self._flaky:
                stats.setdefault("flaky", []).append(reports[0])
            if test in self._why_not or too_many:
                for report in reports:
                    kind = "failed" if report.when == "call" else "error"
                    stats.setdefault(kind, []).append(report)
            elif not any(passed.nodeid == test for passed in stats.get("passed", ())):
                stats.setdefault("passed", []).append(reports[0])


def _may_be_the_machine(report: pytest.TestReport | pytest.CollectReport) -> bool:
    """Say whether a failure is one on the control plane; a report that does not say so is not."""
    return report.failed and getattr(report, "on_control_plane", False)


def _run_alone(config: pytest.Config, tests: list[str]) -> Found:
    """Run tests in one fresh process, without workers beside it."""
    terminal = config.pluginmanager.getplugin("terminalreporter")
    terminal.line("")
    terminal.section(f"second try, alone: {len(tests)}")
    with tempfile.TemporaryDirectory() as folder:
        outcomes = Path(folder, "outcomes")
        command = [sys.executable, "-m", "pytest", "-p", "no:xdist", _OPTION, str(outcomes)]
        if config.inipath is not None:
            command += ["-c", str(config.inipath)]
        command += ["--rootdir", str(config.rootpath), *tests]
        # What it found is read from the file: a test without an outcome has not passed.
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                command,
                cwd=config.rootpath,
                timeout=TEST_S * len(tests),
                stdout=subprocess.DEVNULL,
                check=False,
            )
        lines = outcomes.read_text().splitlines() if outcomes.exists() else []
    return _found(json.loads(line) for line in lines)


def _found(reports: Iterable[dict[str, str]]) -> Found:
    found = Found()
    for report in reports:
        if report["outcome"] == "failed":
            found.failures.setdefault(report["test"], report["text"])
        elif report["outcome"] == "passed":
            found.steps[report["test"]] += 1
    return found
