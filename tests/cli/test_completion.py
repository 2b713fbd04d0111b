"""A shell completes commands, options and values as the parser has them."""

import shlex
import shutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from spotvortex.cli.main import COMMANDS, cli


def script(shell):
    result = CliRunner().invoke(cli, ["completion", shell])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory):
    path = tmp_path_factory.mktemp("completion") / "spotvortex.bash"
    path.write_text(script("bash"))
    return path


def offered(bash_script, *words):
    """What bash offers for the last word of a line."""
    line = " ".join(shlex.quote(word) for word in ("spotvortex", *words))
    steps = (
        f"source {shlex.quote(str(bash_script))}; COMP_WORDS=({line}); COMP_CWORD={len(words)}; "
        "_spotvortex; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(
        ["bash", "--norc", "-uc", steps], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stderr == ""
    return set(done.stdout.split())


pytestmark = [
    pytest.mark.program,
    pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not here"),
]


def test_every_command_is_offered_first(bash_script):
    assert offered(bash_script, "") == {c.name for c in COMMANDS} | {"--help", "--version"}
    assert offered(bash_script, "un") == {"uninstall"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("run", "--mode", ""), {"shadow", "advise", "canary", "active"}),
        (("doctor", "-o", "j"), {"json"}),
        (("prices", ""), {"fetch"}),
        (("assess", "--kube"), {"--kubeconfig"}),
        (("completion", "b"), {"bash"}),
        (("run", "--seed", ""), set()),
    ],
)
def test_options_and_their_values_are_offered(bash_script, words, expected):
    found = offered(bash_script, *words)
    assert found >= expected
    if words[-2].startswith("-"):
        assert found == expected


def test_a_file_is_offered_where_one_is_asked_for(bash_script, tmp_path):
    (tmp_path / "decisions.jsonl").write_text("")
    stem = str(tmp_path / "dec")
    assert offered(bash_script, "explain", "--file", stem) == {f"{stem}isions.jsonl"}


def test_completion_asks_no_daemon_and_starts_no_python(bash_script):
    text = bash_script.read_text()
    assert "python" not in text
    assert sys.executable not in text


@pytest.mark.parametrize(("shell", "check"), [("zsh", ["-n"]), ("fish", ["--no-execute"])])
def test_the_script_is_one_of_its_shell(shell, check, tmp_path):
    path = tmp_path / shell
    path.write_text(script(shell))
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not here")
    done = subprocess.run([shell, *check, path], capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
