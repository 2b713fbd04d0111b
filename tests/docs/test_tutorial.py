"""The tutorial, done: every command of the page is run, every line that it shows comes again."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.controlplane.api import wait_until
from tests.e2e.equipment.daemon import Daemon
from tests.paths import ROOT

pytestmark = pytest.mark.program

PAGE = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
AS_SHOWN = "http://127.0.0.1:8080"
INSTALLED, STARTED = "make install", "SPOTVORTEX_DECISION_LOG=decisions.jsonl"
"""Done before this test; and done by its fixture, at a free port."""


def blocks() -> list[tuple[str, str]]:
    """Each block of commands with the output that is shown below it, "" where none is."""
    found: list[tuple[str, str]] = []
    for kind, text in BLOCK.findall(PAGE.read_text()):
        if kind == "sh":
            found.append((text.strip(), ""))
        else:
            found[-1] = found[-1][0], text
    return found


def heads(text: str) -> set[str]:
    """The first two words of each line: what a figure, a date or a wait does not change."""
    return {" ".join(line.split()[:1]) for line in text.splitlines() if line.split()}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """The daemon as the page starts it."""
    (start,) = (text for text, _ in blocks() if text.startswith(STARTED))
    arguments = start.partition(" run ")[2].split()
    folder = tmp_path_factory.mktemp("tutorial")
    with Daemon(folder, {"SPOTVORTEX_TICK_S": "10"}, *arguments) as daemon:
        daemon.wait_ready()
        wait_until(lambda: {r["pool"] for r in daemon.records()} >= {"web", "api"}, timeout=60)
        yield daemon
        assert daemon.stop() == 0


def done(daemon: Daemon, folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    address = f"http://127.0.0.1:{daemon.port}"
    text = line.replace(AS_SHOWN, address).replace("decisions.jsonl", str(daemon.records_path))
    text = text.replace(".venv/bin/spotvortex", "python -m spotvortex")
    return subprocess.run(
        ["/bin/sh", "-c", text],
        cwd=ROOT,
        env=os.environ
        | {"SPOTVORTEX_HTTP_PORT": str(daemon.port), "COLUMNS": "140"}
        | {"PATH": f"{Path(os.sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def steps() -> list[tuple[str, str]]:
    return [(t, shown) for t, shown in blocks() if t != INSTALLED and not t.startswith(STARTED)]


@pytest.mark.parametrize(("commands", "shown"), steps(), ids=[t.split("\n")[0] for t, _ in steps()])
def test_each_command_works_and_shows_the_lines_of_the_page(
    running: Daemon, tmp_path: Path, commands: str, shown: str
):
    output = ""
    for line in commands.splitlines():
        ran = done(running, tmp_path, line)
        assert ran.returncode == 0, ran.stderr
        output += ran.stdout
    assert output
    assert heads(shown) <= heads(output)


def test_the_page_begins_where_the_readme_does():
    assert INSTALLED in dict(blocks())
    assert len(steps()) >= 5
