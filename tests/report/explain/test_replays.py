"""A log is made again record by record, and what does not fit is counted with its line."""

import json
from dataclasses import replace

import pytest

from spotvortex.core.decision.reconcile import decide
from spotvortex.core.domain.types import Action
from spotvortex.core.record.record import record_of
from spotvortex.errors import RecordError
from spotvortex.report.explain.replays import replay_all
from tests.core.builders import AT, CHEAP, basis, pool_input, risk_of

KINDS = (
    basis(),
    basis(pool_input(entry_money=replace(CHEAP, spot_usd_per_hour=0.095))),
    basis(pool_input(spot_risk=risk_of(0.5))),
)


def chain(n, code="1", previous=""):
    lines = []
    for i in range(n):
        made = KINDS[i % len(KINDS)]
        decision = decide(replace(made, cycle=i, pool=replace(made.pool, at=AT + i)))
        record = record_of(decision, previous, code)
        previous = record.digest
        lines.append(record.line)
    return lines


@pytest.fixture
def tally_of(tmp_path):
    def tally(lines):
        path = tmp_path / "log.jsonl"
        path.write_text("".join(f"{line}\n" for line in lines))
        return replay_all(path)

    return tally


def test_a_whole_log_comes_out_the_same(tally_of):
    tally = tally_of(chain(60))
    assert tally.is_whole
    assert (tally.n_records, tally.chain.n_starts) == (60, 1)
    assert list(tally.in_words("1")) == [
        "60 records, 1 start of the daemon",
        "0 mismatches",
        "0 altered since they were written",
        "0 breaks of the chain",
        "0 checkpoints, 0 things missing",
        "0 made by other code than 1",
    ]


def test_every_start_begins_a_chain(tally_of):
    tally = tally_of([*chain(2), *chain(2, code="2")])
    assert tally.is_whole
    assert tally.chain.n_starts == 2
    assert next(tally.in_words("2")) == "4 records, 2 starts of the daemon"
    assert list(tally.in_words("2"))[-1] == "2 made by other code than 2, 2 by 1"


def test_a_log_without_a_record_proves_nothing(tally_of):
    with pytest.raises(RecordError, match="holds no record, so it proves nothing"):
        tally_of([])


def test_an_altered_record_is_a_mismatch_and_its_digest_does_not_hold(tally_of):
    lines = chain(4)
    lines[2] = lines[2].replace('"action":"DECREASE_10"', '"action":"DECREASE_30"')
    tally = tally_of(lines)
    assert (tally.mismatches, tally.altered, tally.chain.breaks) == ([3], [3], [])
    assert not tally.is_whole


def test_a_record_that_this_code_would_not_write_is_a_mismatch_with_a_good_digest(tally_of):
    decision = decide(KINDS[0])
    other = record_of(replace(decision, action=Action.INCREASE_10), "", "0").line
    tally = tally_of([other])
    assert (tally.mismatches, tally.altered) == ([1], [])


def test_a_missing_record_breaks_the_chain(tally_of):
    lines = chain(9)
    tally = tally_of(lines[:3] + lines[4:])
    assert (tally.mismatches, tally.chain.breaks) == ([], [4])
    assert not tally.is_whole
    assert "1 breaks of the chain (line 4)" in list(tally.in_words("1"))


def test_of_many_lines_the_first_five_are_named(tally_of):
    tally = tally_of(reversed(chain(8)))
    assert "6 breaks of the chain (line 2, 3, 4, 5, 6, ...)" in list(tally.in_words("1"))


@pytest.mark.parametrize("bad", ["", "INFO daemon.started", "{}", json.dumps({"v": 1})])
def test_a_line_that_is_no_record_is_named_with_its_number(tally_of, bad):
    with pytest.raises(RecordError, match=r"log\.jsonl:3: "):
        tally_of([*chain(2), bad])
