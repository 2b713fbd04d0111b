"""`spotvortex top` against a running daemon: once in a pipe, and in a terminal until q is typed."""

import os
import pty
import subprocess
import sys

import pytest

from tests.controlplane.api import wait_until
from tests.e2e.equipment.daemon import Daemon
from tests.paths import ROOT

pytestmark = pytest.mark.program

COMMAND = [sys.executable, "-m", "spotvortex", "top"]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    variables = {"SPOTVORTEX_TICK_S": "30", "SPOTVORTEX_HTTP_TOKEN": "of-the-team"}
    with Daemon(tmp_path_factory.mktemp("top"), variables, "--simulated") as made:
        made.wait_ready()
        wait_until(lambda: made.metric("spotvortex_cycles_total") >= 1, 30)
        yield made


def environment(**changes):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SPOTVORTEX_")}
    return {**kept, "TERM": "xterm", "COLUMNS": "80", **changes}


def test_in_a_pipe_it_looks_once_with_the_token_of_the_settings(daemon):
    url = ("--url", f"http://127.0.0.1:{daemon.port}")
    done = subprocess.run(
        [*COMMAND, *url],
        cwd=ROOT,
        env=environment(SPOTVORTEX_HTTP_TOKEN="of-the-team"),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "Spot " in done.stdout.splitlines()[0]
    assert any(line.startswith("web ") for line in done.stdout.splitlines())
    refused = subprocess.run(
        [*COMMAND, *url],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode == 2
    assert "wants a token: set SPOTVORTEX_HTTP_TOKEN" in refused.stderr


def test_in_a_terminal_it_shows_the_pools_until_q_is_typed(daemon):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "--url", f"http://127.0.0.1:{daemon.port}", "--every", "0.5"],
        cwd=ROOT,
        env=environment(SPOTVORTEX_HTTP_TOKEN="of-the-team"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while shown.count(b"\x1b[H\x1b[J") < 2:
            shown += os.read(ours, 65536)
        os.write(ours, b"q")
        assert process.wait(20) == 0
    finally:
        process.kill()
        os.close(ours)
    text = shown.decode().replace("\r", "")
    assert "web " in text
    assert all(len(line.replace("\x1b[H\x1b[J", "")) <= 80 for line in text.split("\n"))
