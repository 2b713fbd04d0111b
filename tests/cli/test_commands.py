"""The commands that look at what was decided, as a person types them."""

import json
import os
import sys
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO, TextIOWrapper
from threading import Thread

import pytest
from typer.testing import CliRunner

from spotvortex import __version__
from spotvortex.cli.main import cli, main
from spotvortex.code_digest import code_version
from spotvortex.core.decision.reconcile import decide
from spotvortex.core.record.checkpoint import Checkpoint
from spotvortex.core.record.record import record_of
from tests.core.builders import AT, CHEAP, basis, pool_input

DEAR = replace(CHEAP, spot_usd_per_hour=0.095)


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch):
    for name in [n for n in os.environ if n.upper().startswith("SPOTVORTEX_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def records():
    kinds = (basis(), basis(pool_input(pool="jobs", entry_money=DEAR)))
    previous, made = "", []
    for i in range(6):
        kind = kinds[i % 2]
        decision = decide(replace(kind, cycle=i, pool=replace(kind.pool, at=AT + i)))
        made.append(record_of(decision, previous, code_version()))
        previous = made[-1].digest
    return made


@pytest.fixture
def log(records, tmp_path):
    path = tmp_path / "decisions.jsonl"
    path.write_text("".join(f"{record.line}\n" for record in records))
    return path


def typed(*words):
    result = CliRunner().invoke(cli, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def refused(capsys, monkeypatch, *words):
    """Run the whole program and return what it says on standard error before it ends with 2."""
    monkeypatch.setattr("sys.argv", ["spotvortex", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    return capsys.readouterr().err


def test_explain_tells_the_last_decision_of_a_pool(log, records):
    result = typed("explain", "jobs", "--file", log)
    assert result.exit_code == 0
    assert "jobs holds with 10 of 20 nodes on Spot: discount too small." in result.output
    assert "would INCREASE_30 if entry discount >= 0.15, now 0.05" in result.output
    assert records[-1].decision_id in result.output


def test_explain_tells_a_decision_by_its_id_and_reads_the_log_of_the_settings(
    log, records, monkeypatch
):
    monkeypatch.setenv("SPOTVORTEX_DECISION_LOG", str(log))
    result = typed("explain", records[0].decision_id, "--output", "json")
    document = json.loads(result.output)
    assert document["decision"]["decision_id"] == records[0].decision_id
    assert document["decision"]["action"] == "INCREASE_30"
    assert document["digest"] == records[0].digest
    assert document["same"] is True


def test_why_not_names_the_gates_and_the_nearest_change(log):
    result = typed("why-not", "jobs", "INCREASE_10", "--file", log)
    assert result.exit_code == 0
    assert "jobs cannot INCREASE_10: refused by market." in result.output
    assert "nearest change: would INCREASE_10 if entry discount >= 0.15, now 0.05" in result.output
    document = json.loads(
        typed("why-not", "web", "DECREASE_10", "--file", log, "--output", "json").output
    )
    assert document["in_words"] == "web could DECREASE_10: the gates let 1 node through."


def test_an_action_may_be_typed_in_small_letters(log):
    words = ("jobs", "INCREASE_10", "--file", log)
    small = typed("why-not", "jobs", "increase_10", "--file", log)
    assert small.output == typed("why-not", *words).output


def test_help_and_version_have_their_short_ways():
    assert typed("-h").output == typed("--help").output
    assert typed("assess", "-h").output == typed("assess", "--help").output
    assert typed("--version").output == f"{__version__}\n"


def test_of_log_and_daemon_one_is_named(log, capsys, monkeypatch):
    words = ("explain", "web", "--file", log, "--url", "http://127.0.0.1:1")
    assert refused(capsys, monkeypatch, *words) == (
        "spotvortex: --file and --url: give one of them\n"
    )


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("backtest", "--prices", "x.jsonl", "--html"), "--html"),
        (("backtest", "--prices", "x.jsonl", "--decisions"), "--decisions"),
        (("evaluate", "--quick", "--html"), "--html"),
        (("evaluate", "--quick", "--results"), "--results"),
        (("snapshot", "--out"), "--out"),
    ],
)
def test_a_file_that_could_not_be_written_is_refused_before_any_work(
    words, option, tmp_path, capsys, monkeypatch
):
    nowhere = tmp_path / "nowhere" / "page"
    assert refused(capsys, monkeypatch, *words, nowhere) == (
        f"spotvortex: {option} {nowhere}: there is no folder {nowhere.parent}; make it first\n"
    )
    assert refused(capsys, monkeypatch, *words, tmp_path) == (
        f"spotvortex: {option} {tmp_path}: is a folder; name a file in it\n"
    )


def test_a_policy_that_is_not_run_is_refused_before_any_run(tmp_path, capsys, monkeypatch):
    words = ("evaluate", "--quick", "--policy", "nope", "--results", tmp_path / "r.jsonl")
    error = refused(capsys, monkeypatch, *words)
    assert error.startswith("spotvortex: --policy nope: is none of ")
    assert not (tmp_path / "r.jsonl").exists()


def test_an_unknown_action_is_a_mistake_on_the_command_line(log):
    result = typed("why-not", "web", "GROW", "--file", log)
    assert result.exit_code == 2
    assert "INCREASE_10" in result.output


def test_an_unknown_pool_is_refused_with_where_it_was_looked_for(log, capsys, monkeypatch):
    error = refused(capsys, monkeypatch, "explain", "nowhere", "--file", log)
    assert error == (
        f"spotvortex: {log} has no record of a decision or pool nowhere; its pools are jobs, web\n"
    )


@contextmanager
def daemon(records):
    """Answers of a daemon over a real socket, in a thread of their own."""
    by_path = {f"/decisions/{r.decision_id}": r.line for r in records}
    for record in records:
        newest = f'{{"decisions":[{record.line}]}}'
        by_path[f"/decisions?limit=1&pool={record.pool}"] = newest

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = by_path.get(self.path)
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write((body or "{}").encode())

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_a_running_daemon_is_asked_where_it_is_named_or_by_the_settings(records, monkeypatch):
    with daemon(records) as port:
        named = typed("explain", "jobs", "--url", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("SPOTVORTEX_HTTP_PORT", str(port))
        by_settings = typed("explain", "jobs")
    assert named.output == by_settings.output
    assert "jobs holds" in named.output


def test_replay_of_a_whole_log_ends_with_0(log):
    result = typed("replay", log)
    assert result.exit_code == 0
    assert "6 records" in result.output
    assert "0 mismatches" in result.output
    assert f"0 made by other code than {code_version()}" in result.output


def test_replay_of_an_altered_log_ends_with_1(log):
    log.write_text(log.read_text().replace("discount_too_small", "discount_too_large", 1))
    result = typed("replay", log)
    assert result.exit_code == 1
    assert "1 mismatches (line 2)" in result.output


def test_replay_of_a_broken_chain_ends_with_1(log):
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:3] + lines[4:]))
    result = typed("replay", log)
    assert result.exit_code == 1
    assert "1 breaks of the chain (line 4)" in result.output


def test_replay_of_a_bad_file_ends_with_2_and_names_the_line(log, capsys, monkeypatch):
    log.write_text(log.read_text() + "torn")
    error = refused(capsys, monkeypatch, "replay", log)
    assert error.startswith(f"spotvortex: {log}:7: ")
    missing = log.with_name("none")
    error = refused(capsys, monkeypatch, "replay", missing)
    assert error == f"spotvortex: {missing} cannot be read: No such file or directory\n"


def test_replay_is_told_how_many_records_there_have_to_be(log, records):
    assert typed("replay", log, "--expect", "6").exit_code == 0
    assert typed("replay", log, "--expect", f"6:{records[-1].digest}").exit_code == 0
    result = typed("replay", log, "--expect", "8")
    assert result.exit_code == 1
    assert "expected 8 records of the last start, 6 are here: the last 2 missing" in result.output


def test_replay_of_a_log_without_its_head_ends_with_1_unless_an_older_file_has_it(log, records):
    log.write_text("".join(f"{record.line}\n" for record in records[2:]))
    result = typed("replay", log)
    assert result.exit_code == 1
    assert "name its digest with --after" in result.output
    assert typed("replay", log, "--after", records[1].digest).exit_code == 0


def test_replay_refuses_what_is_no_count(log, capsys, monkeypatch):
    assert "N:DIGEST" in refused(capsys, monkeypatch, "replay", log, "--expect", "all")


def test_explain_and_why_not_pass_over_checkpoints(log, records):
    counted = Checkpoint(
        checkpoint=6, start=records[0].digest, last=records[-1].digest, closed=True
    )
    with log.open("a") as file:
        file.write(f"{counted.line(AT)}\n")
    assert typed("explain", records[-1].decision_id, "--file", log).exit_code == 0
    assert typed("why-not", "jobs", "HOLD", "--file", log).exit_code == 0
    assert "1 checkpoints, 0 things missing" in typed("replay", log).output


def test_the_code_is_named_by_version_and_digest():
    version, _, digest = code_version().partition("+")
    assert version == "0.1.0"
    assert len(digest) == 12
    assert set(digest) <= set("0123456789abcdef")


def test_a_sign_that_the_terminal_lacks_is_no_fault(monkeypatch):
    shown = BytesIO()
    monkeypatch.setattr("sys.stdout", TextIOWrapper(BytesIO(), encoding="ascii"))
    monkeypatch.setattr("sys.stderr", TextIOWrapper(shown, encoding="ascii", errors="strict"))
    monkeypatch.setattr(
        "sys.argv", ["spotvortex", "replay", "caf\N{LATIN SMALL LETTER E WITH ACUTE}"]
    )
    with pytest.raises(SystemExit) as end:
        main()
    sys.stderr.flush()
    assert end.value.code == 2
    assert shown.getvalue().startswith(b"spotvortex: caf? cannot be read: No such file")


def test_a_word_that_is_none_of_the_choices_is_told_without_pythons_own(capsys, monkeypatch):
    told = refused(capsys, monkeypatch, "completion", "tcsh")
    assert "Invalid value for 'shell': 'tcsh' is not one of 'bash', 'zsh', 'fish'." in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["pools", "--url", "http://127.0.0.1:1"], "Connection refused; give --url of a running"),
        (["ledger", "--from", "http://127.0.0.1:1"], "refused; give --from: another daemon, a"),
        (["explain", "web", "--url", "http://127.0.0.1:1"], "refused; give --file, or --url of"),
        (["simulate", "--keep", "/proc/nowhere"], "--keep /proc/nowhere: cannot be made: No such"),
        (
            ["prices", "fetch", "-o", "/nowhere/p.jsonl", "--region", "eu-west-1", "--type", "a.b"],
            "--output /nowhere/p.jsonl: there is no folder /nowhere; make it first",
        ),
        (["simulate", "--episode", "/nowhere"], "/nowhere cannot be read: No such file or"),
        (["backtest", "--prices", "/nowhere"], "/nowhere: cannot be read (No such file or dir"),
    ],
)
def test_what_is_not_there_is_told_in_a_line_with_what_that_command_takes(
    capsys, monkeypatch, words, told
):
    assert told in refused(capsys, monkeypatch, *words)


@pytest.mark.parametrize(
    ("wrong", "right"), [("asess", "assess"), ("why_not", "why-not"), ("unistall", "uninstall")]
)
def test_a_command_that_is_mistyped_is_answered_with_the_nearest(capsys, monkeypatch, wrong, right):
    assert f"No such command '{wrong}'; did you mean {right}?" in refused(
        capsys, monkeypatch, wrong
    )
