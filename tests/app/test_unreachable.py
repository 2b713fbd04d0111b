"""A command that looks once ends at once where the API server does not answer."""

import asyncio
import socket

import pytest

from spotvortex.app import inspect, kubernetes
from spotvortex.app.check import check
from spotvortex.app.kept_ledger import from_cluster
from spotvortex.app.uninstall import uninstall
from spotvortex.errors import UnreachableError
from spotvortex.report.checks import CheckStatus
from spotvortex.settings.model import Settings
from tests.app.test_check import KUBECONFIG


@pytest.fixture
def silent(monkeypatch, tmp_path):
    """A kubeconfig that leads to a port at which connections are taken and nothing is said."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = tmp_path / "config"
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        config.write_text(KUBECONFIG.replace("SERVER", url))
        monkeypatch.setenv("KUBECONFIG", str(config))
        assert kubernetes.ANSWERS_S <= 4.0, "and a second for the start, of five in all"
        monkeypatch.setattr(kubernetes, "ANSWERS_S", 0.2)
        yield url


async def leave(settings):
    await uninstall(settings, 0.0, print, apply=False)


LOOKS = [
    inspect.assess,
    inspect.doctor,
    inspect.snapshot,
    inspect.applied_priorities,
    from_cluster,
    leave,
]


@pytest.mark.parametrize("look", LOOKS)
async def test_a_look_ends_and_names_the_server(silent, look):
    async with asyncio.timeout(5.0):
        with pytest.raises(UnreachableError, match=silent):
            await look(Settings())


async def test_check_says_the_rest_as_well(silent):
    async with asyncio.timeout(5.0):
        found = {c.name: c for c in await check(Settings())}
    assert found["cluster"].finding is CheckStatus.WRONG
    assert found["cluster"].detail.count(silent) == 1
    assert found["model"].finding is CheckStatus.OK
