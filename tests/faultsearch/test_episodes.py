"""The fault search on the product as it is: no breach, the same in every process, and bounded."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from spotvortex.batch.executors import local_executor
from spotvortex.core.domain.types import Mode
from spotvortex.errors import EpisodeError
from spotvortex.faultsearch.episode import MAX_NODES, MAX_TICKS, draw
from spotvortex.faultsearch.run_episode import play
from spotvortex.faultsearch.search import CRASHED, outcome_of, play_seed, search
from spotvortex.faultsearch.shrink import from_text, shrink, to_text
from spotvortex.sim.market.hazard_supply import CALM
from spotvortex.sim.runtime.faults import Fault, FaultKind
from tests.faultsearch.variants import VARIANTS

KEPT = sorted((Path(__file__).parent / "kept").glob("*.json"))
PROMISES = range(1, 15)


@pytest.fixture(scope="module", params=[80, pytest.param(150, marks=pytest.mark.large)])
def n_episodes(request):
    return request.param


@pytest.fixture(scope="module")
def found(n_episodes):
    with local_executor(2) as executor:
        return search(range(1, n_episodes + 1), executor)


@pytest.mark.search
@pytest.mark.timeout(600)
def test_no_promise_is_broken(found, n_episodes):
    assert "\n".join(found.in_words()).count("seed") == 0
    assert found.n_breaches == 0
    assert found.n_episodes == n_episodes


@pytest.mark.search
def test_every_promise_was_checked_and_every_fault_occurred(found, n_episodes):
    assert {k for k in PROMISES if found.checks[k] == 0} == set()
    assert {kind.value for kind in FaultKind} == set(found.faults)
    assert found.n_deaths > 20
    assert found.seconds > n_episodes * 1000.0


@pytest.mark.search
def test_every_kind_of_request_was_sent(found):
    assert set(found.calls) == {
        "ClearRisk",
        "CreateAnchor",
        "CreatePlaceholder",
        "CreateRoom",
        "DeleteAnchors",
        "ReleaseNode",
        "DeletePlaceholders",
        "EvictPod",
        "FreeNode",
        "GrowGroup",
        "KeepNode",
        "MarkNode",
        "NoteRisk",
        "SettleGroup",
        "UnmarkNode",
    }


@pytest.mark.program
@pytest.mark.parametrize(
    ("first", "n_episodes"), [(1, 3), pytest.param(4, 7, marks=pytest.mark.large)]
)
def test_the_same_seeds_give_the_same_digest_under_two_hash_seeds(first, n_episodes):
    def run(hash_seed):
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.faultsearch.episodes_digest",
                str(first),
                str(n_episodes),
            ],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=400,
        )
        return done.stdout

    assert run("1") == run("2")


def test_what_is_drawn_is_bounded_and_varied():
    drawn = [draw(seed) for seed in range(500)]
    assert all(0 < e.n_nodes <= MAX_NODES for e in drawn)
    assert all(0 < e.n_ticks <= MAX_TICKS for e in drawn)
    assert all(len(e.faults) <= 9 + 2 * (e.n_processes > 1) for e in drawn)
    assert all(f.at_s <= e.busy_s and 0 <= f.who < e.n_processes for e in drawn for f in e.faults)
    assert {e.n_processes for e in drawn} == {1, 2}
    assert {e.limits.mode.writes for e in drawn} == {True, False}
    assert draw(7) == draw(7) != draw(8)
    assert str(draw(7)).startswith("seed 7: ")


@pytest.mark.trial
@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_an_episode_that_once_found_something_is_good_now(path):
    assert outcome_of(from_text(path.read_text())).breaches == ()


def frozen_while_nodes_are_lost(kind):
    """An all-Spot pool in a calm market, where nothing but two notices would move a node."""
    drawn = map(draw, range(1, 200))
    base = next(e for e in drawn if e.pools[0].n_spot > 4 and not e.pools[0].n_on_demand)
    (pool, *_) = base.pools
    return replace(
        base,
        pools=(replace(pool, annotations=()),),
        workloads=tuple(w for w in base.workloads if w.pool == pool.name),
        regime=CALM,
        script=((0.0, 0.03),),
        limits=replace(
            base.limits,
            mode=Mode.ACTIVE,
            on_demand_floor_nodes=0,
            reduce_unsafe=False,
            shift=False,
            evacuate=False,
        ),
        faults=(
            Fault(kind=kind, at_s=20.0, lasts_s=600.0),
            Fault(kind=FaultKind.INTERRUPTION, at_s=150.0, size=2.0),
        ),
        n_processes=1,
        hears_notices=True,
    )


@pytest.mark.trial
@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        (
            FaultKind.FREEZE_SOFT,
            {"MarkNode", "CreateRoom", "EvictPod", "ReleaseNode", "DeletePlaceholders"},
        ),
        (FaultKind.FREEZE_LEAVE, set()),
        (FaultKind.FREEZE_HARD, set()),
    ],
)
def test_of_all_freezes_a_soft_one_alone_lets_lost_nodes_be_emptied(kind, sent):
    played = play(frozen_while_nodes_are_lost(kind))
    assert played.breaches == ()
    assert set(played.calls) == sent


def test_some_episodes_are_kept():
    assert len(KEPT) >= 4


def test_an_episode_survives_being_written_down():
    for seed in range(100):
        assert from_text(to_text(draw(seed))) == draw(seed)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"limits": []}', '{"limits": {}}', '{"limits": {"mode": 3}}', "1e999"],
)
def test_a_text_that_is_no_episode_says_so(text):
    with pytest.raises(EpisodeError, match="no episode"):
        from_text(text)


def test_a_limit_that_a_kept_episode_does_not_name_has_its_default():
    text = to_text(draw(3)).replace('"leftover_s"', '"no_such_limit"')
    with pytest.raises(EpisodeError, match="unknown limit no_such_limit"):
        from_text(text)


@pytest.mark.search
def test_a_failing_episode_is_made_smaller_and_fails_still(monkeypatch):
    variant = next(v for v in VARIANTS if v.name == "evicts before room is Ready")
    variant.breaks(monkeypatch)
    episode = next(e for e in map(draw, range(1, 50)) if broken(e, 2))
    smallest = shrink(episode, 2, outcome_of)
    assert broken(smallest, 2)
    assert size(smallest) < size(episode)
    assert smallest.n_nodes <= 3
    assert smallest.faults == ()


@pytest.mark.search
def test_an_episode_that_is_played_until_a_breach_ends_with_it(monkeypatch):
    variant = next(v for v in VARIANTS if v.name == "evicts before room is Ready")
    variant.breaks(monkeypatch)
    episode = next(e for e in map(draw, range(1, 50)) if broken(e, 2))
    whole, until = outcome_of(episode), outcome_of(episode, until=2)
    first = next(b for b in whole.breaches if b.promise == 2)
    assert next(b for b in until.breaches if b.promise == 2) == first
    assert until.seconds < first.at_s + 10.0 < whole.seconds
    assert outcome_of(episode, until=1).seconds == whole.seconds


def broken(episode, promise):
    return any(breach.promise == promise for breach in outcome_of(episode).breaches)


def size(episode):
    return (
        len(episode.faults) + episode.n_ticks + episode.n_nodes + len(episode.workloads),
        episode.n_processes,
    )


def test_shrinking_gives_up_after_so_many_tries(monkeypatch):
    monkeypatch.setattr("spotvortex.faultsearch.shrink.MAX_TRIES", 0)
    assert shrink(draw(4), 2, outcome_of) == draw(4)


def test_a_controller_that_crashes_by_itself_has_broken_a_promise_too(monkeypatch):
    def crash(*_args):
        raise ZeroDivisionError("by itself")

    monkeypatch.setattr("spotvortex.pipeline.router.Router.decide", crash)
    (breach,) = play_seed(3).breaches
    assert breach.promise == CRASHED
    assert "ZeroDivisionError" in breach.text
