"""`what-if`, as a person types it: a log decided again, and only what a setting changes differs."""

import json

import pytest

from scripts.schemas import __main__ as schemas
from spotvortex.core.decision.messages import PoolState
from spotvortex.core.decision.reconcile import decide
from spotvortex.core.domain.limits import Limits
from spotvortex.core.pool.owner_rules import PoolRules
from spotvortex.core.record.record import record_of
from spotvortex.core.record.redecision import CHANGEABLE, redecided
from tests.cli.test_commands import refused, typed
from tests.cli.test_trial_commands import _bare_environment, _log_as_before  # noqa: F401 - fixtures
from tests.core.builders import AT, basis, pool_input
from tests.scripts.test_schemas import validator

HOUR = 3600.0


def made(at=AT, pool="web", **changes):
    return basis(pool_input(at=at, pool=pool), **changes)


def log(path, *bases):
    lines = [record_of(decide(one), "", "code").line for one in bases]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def found(path, *settings):
    words = [word for setting in settings for word in ("--set", setting)]
    result = typed("what-if", "--file", path, *words, "-o", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def test_a_setting_as_it_was_changes_nothing(tmp_path):
    path = log(tmp_path / "log.jsonl", made(), made(at=AT + HOUR))
    report = found(path, f"MIN_DISCOUNT_RATIO={Limits().min_discount_ratio}")
    assert (report["n_records"], report["n_differing"], report["usd"]) == (2, 0, 0.0)
    assert report["n_other_code"] == 0


def test_what_differs_is_told_with_its_gate_and_its_money_until_the_next_record(tmp_path):
    path = log(tmp_path / "log.jsonl", made(), made(at=AT + HOUR / 2), made(at=AT + 9 * HOUR))
    report = found(path, "min_discount_ratio=0.99")
    validator("what-if").validate(report)
    assert report["schema"] == "spotvortex.io/what-if/v1"
    first, second, last = report["records"]
    assert (first["action"], first["other_action"]) == ("INCREASE_30", "HOLD")
    n_nodes = decide(made()).n_nodes
    assert (first["n_nodes"], first["other_n_nodes"]) == (n_nodes, 0)
    assert [row["hours"] for row in (first, second, last)] == [0.5, 1.0, 0.0]
    lost = decide(made()).savings_usd_per_hour
    assert first["usd"] == pytest.approx(-0.5 * lost)
    assert report["usd"] == pytest.approx(-1.5 * lost)
    (pool,) = report["pools"]
    assert (pool["n_differing"], pool["nodes_to_spot"]) == (3, -3 * n_nodes)


def test_table_says_the_same_in_words(tmp_path):
    path = log(tmp_path / "log.jsonl", made(), made(at=AT + HOUR, pool="api"))
    told = typed("what-if", "--file", path, "--set", "SPOTVORTEX_MIN_DISCOUNT_RATIO=0.99").output
    assert "2 of 2 decisions would have differed" in told
    assert "less would have been saved" in told
    assert f"INCREASE_30 {decide(made()).n_nodes}" in told


def test_what_an_owner_asks_for_is_never_widened():
    rules = PoolRules(max_spot_ratio=0.5)
    cautious = made(state=PoolState(rules=rules), limits=Limits(max_spot_ratio=0.5))
    assert not redecided(cautious, {"max_spot_ratio": 0.9}).differs
    assert redecided(cautious, {"max_spot_ratio": 0.9}).after.basis.limits.max_spot_ratio == 0.5


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("MIN_DISCOUNT_RATIO", "give NAME=VALUE"),
        ("MIN_DISCOUNT_RATO=1", "did you mean MIN_DISCOUNT_RATIO?"),
        ("MIN_DISCOUNT_RATIO=2", "SPOTVORTEX_MIN_DISCOUNT_RATIO"),
        ("REBALANCE_RISK_FACTOR=2", "no recorded decision can be made anew by it"),
        ("LOG_LEVEL=INFO", "no recorded decision can be made anew by it"),
    ],
)
def test_a_setting_that_cannot_be_tried_is_refused(tmp_path, capsys, monkeypatch, setting, words):
    path = log(tmp_path / "log.jsonl", made())
    said = refused(capsys, monkeypatch, "what-if", "--file", path, "--set", setting)
    assert words in said


def test_settings_whose_limit_has_another_name_are_taken_by_their_own(tmp_path):
    path = log(tmp_path / "log.jsonl", made())
    report = found(path, "ON_DEMAND_FLOOR=20", "COMMITMENTS=hold")
    assert report["n_differing"] == 1
    assert report["settings"] == {"ON_DEMAND_FLOOR": "20", "COMMITMENTS": "hold"}


def test_a_log_without_records_is_refused(tmp_path, capsys, monkeypatch):
    words = "what-if", "--set", "MAX_WAVE_NODES=1"
    assert "--file: name a decision log" in refused(capsys, monkeypatch, *words)
    empty = tmp_path / "log.jsonl"
    empty.write_text("")
    assert "holds no record" in refused(capsys, monkeypatch, *words, "--file", empty)
    empty.write_text('{"v":nonsense\n')
    assert f"{empty}:1: no JSON" in refused(capsys, monkeypatch, *words, "--file", empty)


def test_every_limit_that_may_be_changed_is_one():
    assert set(Limits.__dataclass_fields__) >= CHANGEABLE


def test_schema_that_is_kept_is_what_is_made():
    kept = (schemas.DOCS / "schemas" / "what-if.json").read_text()
    assert kept == schemas.what_if()
