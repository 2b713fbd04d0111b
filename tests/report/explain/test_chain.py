"""A log whose head, middle or tail is gone says so, and a whole one does not."""

import asyncio
import json
from dataclasses import replace

import pytest

from spotvortex.core.decision.reconcile import decide
from spotvortex.core.record.checkpoint import EVERY_RECORDS, is_checkpoint, read_checkpoint
from spotvortex.errors import RecordError
from spotvortex.report.explain.chain import Chain, read_expected
from spotvortex.report.explain.replays import replay_all
from spotvortex.telemetry.journal import DecisionJournal, open_sink
from tests.core.builders import AT, basis
from tests.telemetry.decisions import plan
from tests.telemetry.test_journal import Counted

N = 210
"""Records of one start: two checkpoints among them, and one at the end."""


def start(path, n=N, *, closes=True):
    """Let one start of the daemon write its records, as its journal does."""
    with open_sink(path) as sink:
        journal = DecisionJournal(code_version="1", counts=Counted(), sink=sink)

        async def decide_all():
            for i in range(n):
                made = basis()
                decision = decide(replace(made, cycle=i, pool=replace(made.pool, at=AT + i)))
                await journal.append(replace(plan(decision), at=AT + i))

        asyncio.run(decide_all())
        if closes:
            journal.close(AT + n)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("log") / "decisions.jsonl"
    start(path)
    return path.read_text().splitlines(keepends=True)


def chain_of(lines, **known):
    """Take the lines of a log; that each record is made again is tested elsewhere."""
    if "expected" in known:
        known["expected"] = read_expected(known["expected"])
    chain = Chain(**known)
    for number, line in enumerate(lines, 1):
        if is_checkpoint(line):
            chain.checkpoint(number, read_checkpoint(line))
        else:
            record = json.loads(line)
            chain.record(number, record["previous"], record["digest"])
    chain.end()
    return chain


def gaps_of(lines, **known):
    chain = chain_of(lines, **known)
    assert chain.breaks == []
    return chain.gaps


def digest(line):
    return json.loads(line)["digest"]


def test_checkpoints_stand_after_each_hundred_records_and_at_the_stop(whole):
    found = [json.loads(line) for line in whole if is_checkpoint(line)]
    assert [(c["checkpoint"], c["closed"]) for c in found] == [
        (EVERY_RECORDS, False),
        (2 * EVERY_RECORDS, False),
        (N, True),
    ]
    assert {c["start"] for c in found} == {digest(whole[0])}
    assert found[-1]["last"] == digest(whole[-2])


def test_a_whole_log_misses_nothing(whole):
    assert gaps_of(whole) == []
    assert gaps_of(whole, expected=f"{N}") == []
    assert gaps_of(whole, expected=f"{N}:{digest(whole[-2])}") == []
    assert gaps_of(whole, expected=f"100:{digest(whole[99])[:12]}") == []


def test_a_cut_head_is_told_and_by_the_first_checkpoint_how_much(whole):
    begins, counts = gaps_of(whole[7:])
    assert f"begins after record {digest(whole[6])[:12]}" in begins
    assert counts == "line 94: 7 records missing before the first"


def test_a_head_cut_right_before_a_checkpoint_is_told(whole):
    (told,) = gaps_of(whole[100:])
    assert told == "line 1: the log begins after 100 records of its first start"


def test_a_file_that_goes_on_from_an_older_one_is_whole_and_from_another_is_not(whole):
    assert gaps_of(whole[7:], after=digest(whole[6])) == []
    assert gaps_of(whole[7:], after=digest(whole[6]), expected=f"{N}") == []
    assert chain_of(whole[7:], after=digest(whole[5])).breaks == [1]


@pytest.mark.parametrize(("n_cut", "n_missing"), [(2, 1), (11, 10)])
def test_a_cut_tail_is_told_to_whoever_knows_the_count(whole, n_cut, n_missing):
    cut = whole[:-n_cut]
    assert gaps_of(cut) == []
    (told,) = gaps_of(cut, expected=f"{N}")
    assert told.endswith(f"{N - n_missing} are here: the last {n_missing} missing")
    assert len(gaps_of(cut, expected=f"{N}:{digest(whole[-2])}")) == 1


def test_records_cut_before_a_checkpoint_that_stayed_are_told_without_any_knowledge(whole):
    (told,) = gaps_of([*whole[:-6], whole[-1]])
    assert told.endswith(f"counts {N} records since the start, 205 are here, 5 missing")


def test_the_end_of_an_earlier_start_cut_between_two_checkpoints_is_known_by_its_digest(
    whole, tmp_path
):
    path = tmp_path / "two.jsonl"
    start(path, n=3)
    later = path.read_text().splitlines(keepends=True)
    assert gaps_of([*whole, *later], expected=f"{N}:{digest(whole[-2])}") == []
    assert gaps_of([*whole, *later], expected="3") == []
    (told,) = gaps_of([*whole[:-20], *later], expected=f"{N}:{digest(whole[-2])}")
    assert "not here" in told


def test_a_record_of_that_digest_at_another_place_is_not_the_expected_one(whole):
    assert len(gaps_of(whole, expected=f"99:{digest(whole[99])}")) == 1


def test_a_log_without_an_orderly_stop_says_so_and_is_whole(tmp_path):
    path = tmp_path / "log.jsonl"
    start(path, n=101, closes=False)
    tally = replay_all(path)
    assert (tally.n_records, tally.chain.n_checkpoints) == (101, 1)
    assert tally.is_whole
    assert any("no orderly stop" in line for line in tally.in_words("1"))


@pytest.mark.parametrize("text", ["", "x", "-1", "3:", "3:zz", "3:abc", "1.5"])
def test_what_is_no_count_is_refused(text):
    with pytest.raises(RecordError, match="--expect"):
        read_expected(text)


@pytest.mark.parametrize("line", ['{"checkpoint":', '{"checkpoint":1}', '{"checkpoint":"x"}'])
def test_a_torn_checkpoint_is_named_by_its_line(tmp_path, line):
    path = tmp_path / "log.jsonl"
    path.write_text(f"{line}\n")
    with pytest.raises(RecordError, match=r"log.jsonl:1"):
        replay_all(path)
