"""`history export`, as a person types it: from a log to training data and back into a backtest."""

import json

import numpy as np
import pytest

from scripts.train.dataset import samples_of
from scripts.train.series import read_markets
from spotvortex.core.ledger.ledger_text import to_text as ledger_text
from spotvortex.core.scoring.interruption_memory import Memory, OfferingMemory
from spotvortex.core.scoring.memory_text import to_text
from spotvortex.core.scoring.trajectory import COLUMNS, N_PAST
from spotvortex.errors import RecordError
from spotvortex.market.price_file import read_price_file
from tests.cli.test_commands import refused, typed
from tests.cli.test_trial_commands import (  # noqa: F401 - fixtures
    _bare_environment,
    _log_as_before,
    write_trace,
)
from tests.core.builders import AT, WEB_A
from tests.core.ledger.looks import Book, web
from tests.core.record.test_history import held, line
from tests.docs.pages import shown_below, without_figures
from tests.paths import ROOT
from tests.sim.recordings import START_AT, write_prices


def test_export_needs_a_log_and_an_empty_folder(tmp_path, capsys, monkeypatch):
    words = "history", "export", "--out", tmp_path / "new"
    assert "--file: name a decision log" in refused(capsys, monkeypatch, *words)
    log = tmp_path / "log.jsonl"
    log.write_text('{"v":nonsense\n')
    assert f"{log}:1: no JSON" in refused(capsys, monkeypatch, *words, "--file", log)
    log.write_text("2026-11-23T18:57:57Z INFO daemon.started\n")
    assert "holds no record" in refused(capsys, monkeypatch, *words, "--file", log)
    log.write_text(f"2026-11-23T18:57:57Z INFO daemon.started\n{line(AT, held())}\n")
    assert "1 decisions, 1 offerings, 0 losses" in typed(*words, "--file", log).output
    assert "is not empty" in refused(capsys, monkeypatch, *words, "--file", log)


def test_what_the_memory_counts_is_written_down_where_its_text_is_given(tmp_path):
    log, text, out = (tmp_path / name for name in ("log.jsonl", "memory.txt", "history"))
    log.write_text(line(AT, held()) + "\n")
    known = OfferingMemory(losses=1.5, exposure_hours=40.0, last_loss_at=AT, updated_at=AT)
    text.write_text(to_text(Memory(offerings={WEB_A: known}, nodes={})))
    typed("history", "export", "--file", log, "--memory", text, "--out", out)
    row = json.loads((out / "memory.jsonl").read_text())
    assert (row["instance_type"], row["losses"], row["last_loss"][:4]) == ("m6i.large", 1.5, "2026")


def test_a_folder_that_is_no_history_is_refused(tmp_path, capsys, monkeypatch):
    said = refused(capsys, monkeypatch, "backtest", "--history", tmp_path)
    assert "is no folder of spotvortex history export" in said
    assert "--prices or --history" in refused(capsys, monkeypatch, "backtest")


def beside_alone_in_the_ledger(tmp_path, history):
    """A ledger of the same days is laid beside both replays; one of other days is refused."""
    kept = tmp_path / "savings-ledger.json"
    begins_at = START_AT + 2 * 86_400.0
    kept.write_text(ledger_text(Book().steady(web(), since=begins_at, hours=9, step_s=300).ledger))
    told = typed("ledger", "--from", kept, "--history", history)
    assert told.exit_code == 0, told.output
    begin = told.output.index("beside Karpenter alone")
    shown = shown_below(ROOT / "docs" / "ledger.md", "spotvortex ledger --history history")
    assert without_figures(told.output[begin:]) == without_figures(shown)
    data = json.loads(typed("ledger", "--from", kept, "--history", history, "-o", "json").output)
    assert data["beside_alone"]["seen_hours"] >= 6.0
    assert data["beside_alone"]["replayed_alone_usd"] > 0.0
    kept.write_text(ledger_text(Book().steady(web()).ledger))
    refusal = typed_raising("ledger", "--from", kept, "--history", history)
    assert "the ledger has no hour of what is replayed" in refusal


def typed_raising(*words):
    with pytest.raises(RecordError) as told:
        typed(*words)
    return str(told.value)


@pytest.mark.trial
def test_a_simulated_run_is_exported_and_replayed_and_trained_on(tmp_path):
    prices = write_prices(tmp_path / "prices.jsonl", 4)
    trace = write_trace(tmp_path / "trace.csv", 5)
    log, out = tmp_path / "decisions.jsonl", tmp_path / "history"
    words = ("backtest", "--prices", prices, "--capacity", trace, "--policy", "spotvortex")
    assert typed(*words, "--decisions", log).exit_code == 0

    told = typed("history", "export", "--file", log, "--out", out)
    assert told.exit_code == 0, told.output
    manifest = json.loads((out / "history.json").read_text())
    assert manifest["losses"] > 0
    assert "web" not in "".join(path.read_text() for path in out.iterdir())
    assert read_price_file(out / "prices.jsonl").on_demand

    again = typed("backtest", "--history", out, "--days", 1, "--output", "json")
    assert again.exit_code == 0, again.output
    assert [f["policy"] for f in json.loads(again.output)["figures"]][-1] == "spotvortex"

    beside_alone_in_the_ledger(tmp_path, out)
    (market,) = read_markets(out)
    assert market.prices
    arrays = samples_of([market], seed=1, replicas=1)
    assert len(arrays["x"]) > 0
    assert np.isfinite(arrays["x"][:, N_PAST - 1, COLUMNS.index("price_ratio")]).any()
