"""The table of commands, and what a command that only answers must not import."""

import subprocess
import sys
from pkgutil import iter_modules

import pytest

from spotvortex import __version__
from spotvortex.cli import commands
from spotvortex.cli.main import COMMANDS
from tests.paths import ROOT

HEAVY = {
    "aiobotocore",
    "aiohttp",
    "asyncio",
    "kubernetes_asyncio",
    "msgspec",
    "numpy",
    "onnxruntime",
    "opentelemetry",
    "prometheus_client",
    "pydantic",
    "rich",
    "tenacity",
}


def typed(*words: str) -> tuple[str, set[str]]:
    """Return what the program prints, and the modules that it has imported when it ends."""
    source = (
        "import atexit, sys; from spotvortex.cli.main import main;"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr));"
        f"sys.argv[1:] = {list(words)!r}; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", source],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return ended.stdout, set(ended.stderr.split())


@pytest.mark.program
@pytest.mark.parametrize(
    ("words", "start"),
    [(["--help"], "Usage: "), (["version"], __version__), (["version", "--help"], "Usage: ")],
)
def test_an_answer_about_itself_imports_nothing_that_runs(words, start):
    shown, modules = typed(*words)
    assert shown.startswith(start)
    assert not HEAVY & modules
    rooms = {name.split(".")[1] for name in modules if name.startswith("spotvortex.")}
    assert rooms == {"cli", "errors"}


@pytest.mark.program
def test_the_help_lists_every_command_in_the_order_of_the_table():
    shown, _ = typed("--help")
    listed = [line.split()[0] for line in shown.partition("Commands:\n")[2].splitlines()]
    assert listed == [command.name for command in COMMANDS]


def test_every_module_of_a_command_stands_in_the_table_once():
    listed = sorted(command.module or command.name for command in COMMANDS)
    assert listed == sorted(module.name for module in iter_modules(commands.__path__))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_each_row_of_the_table_loads_a_documented_function(command):
    function = command.load()
    assert function.__name__ == "command"
    assert function.__doc__
