"""The word `simulate`, as a person types it."""

import json
import logging

import pytest
from typer.testing import CliRunner

from spotvortex.cli.main import cli, main
from spotvortex.faultsearch import report
from spotvortex.faultsearch.episode import draw
from spotvortex.faultsearch.search import play_seed
from spotvortex.faultsearch.shrink import from_text, to_text
from tests.faultsearch.variants import VARIANTS

NO_EXPIRY = next(v for v in VARIANTS if v.name == "placeholders that never expire")


def typed(*words):
    result = CliRunner().invoke(cli, ["simulate", *map(str, words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def refused(capsys, monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["spotvortex", "simulate", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    return capsys.readouterr().err


@pytest.mark.trial
def test_a_good_search_says_what_was_done_and_ends_well():
    result = typed("--episodes", 3, "--seed", 5, "--workers", 1)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("3 episodes, ")
    assert "0 breaches" in lines
    assert lines[-1].startswith("sha256 ")
    assert result.stderr == ""  # no bar where nobody watches


@pytest.mark.program
def test_workers_find_the_same_and_json_has_every_count():
    words = ("--episodes", 2, "--seed", 5, "--output", "json")
    alone, beside = (typed(*words, "--workers", n) for n in (1, 2))
    assert alone.stdout == beside.stdout
    found = json.loads(alone.stdout)
    assert found["episodes"] == 2
    assert found["breaches"] == len(found["failing"]) == len(found["smallest"]) == 0
    assert found["checks_by_promise"]["7"] > 0
    assert found["requests"]["CreatePlaceholder"] > 0


@pytest.mark.trial
def test_a_breach_is_made_small_shown_kept_and_can_be_played_again(monkeypatch, tmp_path):
    NO_EXPIRY.breaks(monkeypatch)
    folder = tmp_path / "new" / "kept"
    words = ("--episodes", 1, "--seed", 5, "--workers", 1, "--keep", folder)
    result = typed(*words)
    assert result.exit_code == 1
    (path,) = folder.iterdir()
    assert path.name == "seed-5.json"
    smallest = from_text(path.read_text())
    assert smallest.n_nodes < draw(5).n_nodes
    assert to_text(smallest) in result.stdout
    assert f"kept in {path}" in result.stdout
    assert "seed 5: promise 11 at" in result.stdout
    again = typed("--episode", path, "--output", "json")
    assert again.exit_code == 1
    found = json.loads(again.stdout)
    assert found["smallest"][0]["episode"] == json.loads(to_text(smallest))
    assert "promise 11" in found["smallest"][0]["breaches"][0]


def test_an_episode_that_was_kept_and_is_mended_ends_well(tmp_path):
    path = tmp_path / "episode.json"
    path.write_text(to_text(draw(3)))
    result = typed("--episode", path)
    assert result.exit_code == 0
    assert result.stdout.startswith("1 episodes, ")
    assert result.stdout.splitlines()[-2] == "0 breaches"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no json", "no episode: Expecting value"),
        (b"[]", "no episode: not an object"),
        (b'{"limits": {"no_such_limit": 1}}', "unknown limit no_such_limit"),
        (b'{"limits": {}}', "no episode: "),
        (b"\xff\xfe\xff", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_holds_no_episode_is_told_by_name(capsys, monkeypatch, tmp_path, content, said):
    path = tmp_path / "episode.json"
    if content is not None:
        path.write_bytes(content)
    told = refused(capsys, monkeypatch, "--episode", path)
    assert str(path) in told
    assert said in told


def test_a_folder_that_cannot_be_made_is_told_before_anything_is_played(
    capsys, monkeypatch, tmp_path
):
    (tmp_path / "file").write_text("")
    words = ("--episodes", 100_000, "--workers", 1, "--keep", tmp_path / "file")
    assert "cannot be made" in refused(capsys, monkeypatch, *words)


def test_a_kept_episode_that_cannot_be_written_is_told(capsys, monkeypatch, tmp_path):
    NO_EXPIRY.breaks(monkeypatch)
    monkeypatch.setattr(report, "shrink", lambda episode, *_: episode)
    (tmp_path / "seed-5.json").mkdir()
    words = ("--episodes", 1, "--seed", 5, "--workers", 1, "--keep", tmp_path)
    assert "cannot be written" in refused(capsys, monkeypatch, *words)


def test_the_log_speaks_again_after_a_search(caplog):
    typed("--episodes", 1, "--seed", 3, "--workers", 1)
    caplog.set_level(logging.WARNING)
    logging.getLogger("somebody").warning("heard")
    assert [record.message for record in caplog.records] == ["heard"]


def test_the_seed_of_the_command_is_the_seed_of_the_episode():
    words = ("--episodes", 1, "--seed", 3, "--workers", 1, "--output", "json")
    found = json.loads(typed(*words).stdout)
    assert found["decisions"] == play_seed(3).n_records > 0
