"""What a unit test is: a test without a mark, which stays in pytest's own process.

Comes in: a test, and what Python tells its auditors. Goes out: an error where a test starts a
program and no mark says so. May not choose which tests run: `make test-unit` leaves out every mark.

It trusts no public authority either: reading the machine's certificates takes 40 ms of each client
that is made, and on loopback nobody has one of theirs.
"""

import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.controlplane.needs import on_control_plane

STARTING = ("program", "wheel", "large")
"""Marks of those who start programs, beside tests on a control plane."""
OF_A_LIBRARY = frozenset({"uname"})
"""What libraries start by themselves when they are imported."""


def may_start(item: pytest.Item) -> bool:
    """Say whether a test may start a program, by its marks or by its fixtures."""
    return on_control_plane(item) or any(item.get_closest_marker(name) for name in STARTING)


class OwnProcess:
    """Stops a program that an unmarked test starts."""

    def __init__(self) -> None:
        self.alone = False

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        """Take an event of Python's; those that start a program end here."""
        if self.alone and event == "subprocess.Popen":
            name = Path(str(args[0])).name
            if name not in OF_A_LIBRARY:
                raise AssertionError(f"starts {name}: mark the test `program` (see CONTRIBUTING)")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Watch one test, its fixtures included."""
        self.alone = not may_start(item)
        with pytest.MonkeyPatch.context() as patch:
            if self.alone:
                patch.setenv("SSL_CERT_FILE", os.devnull)
                patch.setenv("SSL_CERT_DIR", os.devnull)
            try:
                return (yield)
            finally:
                self.alone = False


def pytest_configure(config: pytest.Config) -> None:
    """Begin to watch."""
    watch = OwnProcess()
    sys.addaudithook(watch.audit)
    config.pluginmanager.register(watch, "own_process")
