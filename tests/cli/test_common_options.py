"""Options that every command of a kind has: the kubeconfig, and quiet."""

import logging
import os
from pathlib import Path

import pytest
from typer.main import get_command

from spotvortex.cli import options
from spotvortex.cli.common import KUBECONFIG, QUIET
from spotvortex.cli.main import COMMANDS, cli, main
from spotvortex.cli.options import write_file
from spotvortex.cli.progress import bar, tell
from spotvortex.core.domain.types import Mode
from spotvortex.errors import SettingsError
from spotvortex.settings.load import kubeconfig
from spotvortex.settings.model import Settings


@pytest.fixture(autouse=True)
def _bare(monkeypatch):
    for name in [n for n in os.environ if n.upper().startswith("SPOTVORTEX_")]:
        monkeypatch.delenv(name)
    kube, quiet = KUBECONFIG.set(""), QUIET.set(False)
    yield
    KUBECONFIG.reset(kube)
    QUIET.reset(quiet)


def options_of(name):
    command = get_command(cli).get_command(None, name)
    return {word for param in command.params for word in param.opts}


def test_every_command_that_asks_a_cluster_takes_a_kubeconfig():
    asking = {c.name for c in COMMANDS if "--context" in options_of(c.name)}
    assert asking >= {"run", "assess", "doctor", "check", "uninstall", "snapshot", "karpenter"}
    for command in COMMANDS:
        assert ("--kubeconfig" in options_of(command.name)) == (command.name in asking)


def test_every_command_that_takes_options_can_be_quiet():
    quiet = {c.name for c in COMMANDS if {"-q", "--quiet"} <= options_of(c.name)}
    assert {c.name for c in COMMANDS} - quiet == {"version", "completion"}


def test_a_kubeconfig_that_is_typed_counts_before_the_environment(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("KUBECONFIG", "/elsewhere")
    assert kubeconfig(Settings()) == "/elsewhere"
    monkeypatch.setattr("sys.argv", ["spotvortex", "assess", "--kubeconfig", str(tmp_path / "no")])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert f"no kubeconfig at {tmp_path / 'no'} " in capsys.readouterr().err


def test_quiet_leaves_the_answer_and_what_went_wrong(capsys):
    tell("told")
    QUIET.set(True)
    tell("not told")
    assert capsys.readouterr() == ("", "told\n")
    options.load_quietly("")
    assert logging.getLogger("spotvortex").level == logging.ERROR


def test_off_a_terminal_no_bar_is_drawn_and_no_line_is_left_for_it(capsys):
    with bar("episodes") as advance:
        advance(1, 2, "")
    assert capsys.readouterr() == ("", "")


def test_off_a_terminal_what_lasts_says_each_tenth_and_each_minute_in_a_line(capsys):
    times = iter([0.0, 59.9, 60.0, 61.0, 120.5, 121.0, 130.0])
    with bar("runs", clock=lambda: next(times)) as advance:
        for n_done in (1, 2, 9, 9, 10, 20):
            advance(n_done, 100, "")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"runs: {n} of 100" for n in (2, 9, 10, 20)]


def test_a_mode_that_is_typed_counts_before_the_settings_and_is_a_word_of_its_person(monkeypatch):
    monkeypatch.setenv("SPOTVORTEX_MODE", "active")
    typed = options.load("", Mode.SHADOW)
    assert Mode(typed.mode) is Mode.SHADOW
    assert "mode" in typed.model_fields_set
    assert Mode(options.load("").mode) is Mode.ACTIVE
    assert all("--mode" in options_of(name) for name in ("run", "check"))


@pytest.mark.parametrize(
    ("path", "why"), [("/dev/full", "No space left on device"), ("/proc/x", "No such file")]
)
def test_a_file_that_cannot_be_written_after_all_is_told_in_a_line(path, why):
    with pytest.raises(SettingsError, match=rf"--out {path}: cannot be written \({why}"):
        write_file(Path(path), "text", "--out")
