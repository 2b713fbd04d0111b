"""Fixtures of all tests: the real control plane.

Everything that tests start listens on 127.0.0.1, and nothing they do connects
anywhere else; programs are built once, before the first server starts.
"""

import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.controlplane.build import BuildError, aws_module, build, find_assets
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.needs import on_aws_provider, on_control_plane, remember
from tests.examples import register

pytest_plugins = (
    "tests.garbage",
    "tests.compiled",
    "tests.flaky",
    "tests.order",
    "tests.shared",
    "tests.unit_rule",
)

register(derandomize=bool(os.environ.get("CI")))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the programs before the first test, if any test needs them.

    A first build takes longer than a test may, and its progress lines are for people.
    """
    if session.config.option.collectonly or not any(map(on_control_plane, session.items)):
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        try:
            find_assets().path("kube-controller-manager")
            if any(map(on_aws_provider, session.items)):
                build(aws_module())
        except BuildError as error:
            raise pytest.UsageError(str(error)) from error


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Undo what a test did to the log: commands set its level, which later tests would inherit."""
    root, ours = logging.getLogger(), logging.getLogger("spotvortex")
    level, own_level = root.level, ours.level
    handlers, disabled = list(root.handlers), root.manager.disable
    yield
    root.setLevel(level)
    ours.setLevel(own_level)
    root.handlers[:] = handlers
    logging.disable(disabled)


@pytest.fixture(scope="session")
def control_plane(request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    """One control plane for all files in a row that ask for it, with KWOK and Karpenter's CRDs.

    Tests share it: each works in a namespace and with nodes of its own names, and leaves the
    servers running. A test that stops or kills one asks for `fresh_control_plane`.
    """
    remember(request)
    with ControlPlane(with_kwok=True, karpenter_crds=True) as plane:
        yield plane


@pytest.fixture(scope="session")
def karpenter_control_plane(request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    """One control plane for all files in a row that ask for it, with KWOK and real Karpenter."""
    remember(request)
    with ControlPlane(with_kwok=True, with_karpenter=True) as plane:
        yield plane


@pytest.fixture
def fresh_control_plane() -> Iterator[Callable[..., ControlPlane]]:
    """A maker of control planes of a test's own; takes the fields of `Options` by name."""
    started: list[ControlPlane] = []

    def start(**changes: Any) -> ControlPlane:
        plane = ControlPlane(**changes)
        started.append(plane)
        return plane.start()

    yield start
    for plane in started:
        plane.stop()
