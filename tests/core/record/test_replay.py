"""Every record makes itself again, byte for byte; one that was altered does not."""

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.decision.messages import ControllerState, PoolState
from spotvortex.core.decision.reconcile import decide, reconcile
from spotvortex.core.domain.inputs import InputState
from spotvortex.core.domain.types import Action, CapacityType, Mode, Outcome
from spotvortex.core.pool.input import PoolInput
from spotvortex.core.record.codec import CodecError
from spotvortex.core.record.record import record_of
from spotvortex.core.record.replay import replay
from spotvortex.core.record.schema import BEFORE, SCHEMA
from tests.core import odd
from tests.core.builders import (
    AT,
    CHEAP,
    HEALTHY,
    assessed_with,
    basis,
    capped,
    health,
    market,
    observation,
    pdb,
    placed,
    pool,
    pool_input,
    quote,
    risk_of,
    score,
    with_load_blocker,
    work,
)

N_DECISIONS = 10_000
SEEDS = (1, 2, 3, 4)
N_POOLS = 20


def line_of(made, previous="", version="0.1.0"):
    return record_of(decide(made), previous, version).line


def some_pool(rng, name):
    facts = pool(name, n_spot=rng.randrange(12), n_on_demand=rng.randrange(12))
    nodes = list(facts.nodes)
    for i in range(len(nodes)):
        if rng.random() < 0.1:
            nodes[i] = with_load_blocker(nodes[i], rng.choice(["bare-pod", "volume", "two-pdbs"]))
        elif rng.random() < 0.1:
            change = {"moving": True}, {"cordoned": True}, {"ready": False}
            nodes[i] = replace(nodes[i], **rng.choice(change))
        elif rng.random() < 0.05:
            nodes[i] = replace(nodes[i], capacity_type=rng.choice(list(CapacityType)))
    covered = tuple((n.name, rng.randrange(1, 3)) for n in nodes if rng.random() < 0.3)
    budget = pdb(desired_healthy=rng.randrange(6), healthy_by_node=covered)
    web = work(healthy_by_node=covered, said=rng.choice(["", "", "1", "100%", "most"]))
    return replace(
        facts,
        nodes=tuple(nodes),
        pdbs=(budget,) if covered else (),
        workloads=(placed(web, *nodes),) if covered else (),
    )


def some_limits(rng):
    return capped(
        mode=rng.choice([Mode.SHADOW, Mode.SHADOW, Mode.ADVISE, Mode.ACTIVE]),
        max_spot_ratio=rng.choice([0.0, 0.5, 0.85, 1.0, 1.0, 1.0]),
        on_demand_floor_nodes=rng.choice([0, 0, 1, 4]),
        max_pool_disruption_ratio=rng.choice([0.1, 0.5, 1.0]),
        max_cluster_disruption_ratio=rng.choice([0.05, 1.0, 1.0]),
        min_confidence=rng.choice([0.3, 0.5]),
        exit_unsupported=rng.random() < 0.5,
        budgets_bind=rng.random() < 0.5,
        reduce_unsafe=rng.random() < 0.5,
        settle_s=rng.choice([0.0, 300.0]),
        dwell_s=rng.choice([0.0, 600.0]),
        return_risk_ratio=1.0,
    )


def some_assessment(rng, cycle):
    pools = [some_pool(rng, f"pool-{i:02}") for i in range(N_POOLS)]
    offerings = sorted({n.offering for p in pools for n in p.nodes})
    quotes = market(
        *(quote(o, spot_usd_per_hour=round(rng.uniform(0.01, 0.12), 4)) for o in offerings)
    )
    stale = health("pods", state=rng.choice(list(InputState)), age_s=rng.uniform(0.0, 90.0))
    observed = observation(*pools, cycle=cycle, at=AT + 60.1 * cycle, market=quotes)
    inputs = HEALTHY if rng.random() < 0.8 else (*HEALTHY, stale)
    observed = replace(observed, cluster=replace(observed.cluster, inputs=inputs))
    scores = {
        o: score(
            o,
            runtime_score=rng.choice([0.02, 0.02, 0.05, 0.05, rng.random(), None]),
            capacity_score=rng.choice([0.02, 0.02, 0.02, rng.random()]),
            in_scope=rng.random() < 0.95,
            in_range=rng.random() < 0.9,
        )
        for o in offerings
    }
    return assessed_with(observed, scores)


def some_decisions(seed, n_decisions):
    """Cycles over random pools, each from the state that the one before left."""
    rng, state = random.Random(seed), ControllerState()
    for cycle in range(n_decisions // N_POOLS):
        state, plan = reconcile(state, some_assessment(rng, cycle), some_limits(rng))
        yield from plan.decisions


def check_replay(seed, n_decisions):
    actions, refusing, previous, n = set(), set(), "", 0
    for decision in some_decisions(seed, n_decisions):
        made = record_of(decision, previous, "0.1.0")
        found = replay(made.line)
        assert found.same, made.line
        assert (found.digest, found.previous) == (made.digest, previous)
        previous, n = made.digest, n + 1
        actions.add(decision.action)
        refusing |= {v.gate for v in decision.verdicts if v.outcome is Outcome.REFUSE}
    assert n == n_decisions
    assert actions == set(Action)
    assert refusing >= {"input_freshness", "confidence", "pool_safety", "budgets", "cooldown"}


def test_decisions_of_every_kind_replay_to_the_same_bytes():
    # A seed under which 200 decisions are of every kind; check_replay itself asks for each.
    check_replay(29, 200)


@pytest.mark.search
@pytest.mark.timeout(1800)  # a minute or so; how busy the machine is proves nothing
@pytest.mark.parametrize(
    ("seed", "n_decisions"),
    [
        (1, 1_000),
        *(pytest.param(s, N_DECISIONS // len(SEEDS), marks=pytest.mark.large) for s in SEEDS),
    ],
)
def test_thousands_of_decisions_replay_to_the_same_bytes(seed, n_decisions):
    check_replay(seed, n_decisions)


@odd.many
@given(odd.assessments, odd.limits)
def test_absurd_inputs_replay_too(assessed, limits):
    state = ControllerState()
    for _ in range(2):
        state, plan = reconcile(state, assessed, limits)
        for decision in plan.decisions:
            assert replay(record_of(decision, "", "1").line).same


STATES = (
    PoolState(),
    PoolState(target_ratio=0.1 + 0.2, last_wave_at=AT - 1.0, last_decrease_at=AT - 599.9),
    PoolState(last_wave_at=float("nan"), last_decrease_at=float("-inf")),
)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(
    "data",
    [
        pool_input(),
        pool_input(spot_risk=risk_of(0.95)),
        pool_input(oldest_input_s=float("inf"), entry_money=replace(CHEAP, covered_ratio=1 / 3)),
        pool_input(pool="@0 Café\n\ud800", q_values=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6)),
        pool_input(at=AT + 0.1, n_spot=0),
        pool_input(cpu_requested_ratio=1),
    ],
)
def test_a_record_replays_whatever_its_figures_and_names(data, state):
    assert replay(line_of(basis(data, state=state))).same


def test_the_version_and_the_chain_are_taken_from_the_record():
    found = replay(line_of(basis(), previous="ab" * 32, version="9.9.9"))
    assert (found.code_version, found.previous, found.same) == ("9.9.9", "ab" * 32, True)


LINE = line_of(basis(traceparent=f"00-{'4b' * 16}-{'a1' * 8}-01"))


@odd.many
@given(st.integers(0, len(LINE) - 1), st.characters(min_codepoint=32, max_codepoint=126))
def test_a_changed_byte_is_found(position, character):
    altered = LINE[:position] + character + LINE[position + 1 :]
    try:
        same = replay(altered).same
    except CodecError:
        return
    assert same is (altered == LINE)


def test_what_was_made_of_the_basis_cannot_be_altered_alone():
    altered = LINE.replace('"action":"INCREASE_30"', '"action":"EMERGENCY_EXIT"')
    assert altered != LINE
    found = replay(altered)
    assert not found.same
    assert found.remade == LINE


V = f'"v":{SCHEMA.version}'


def without(name):
    return json.dumps({k: v for k, v in json.loads(LINE).items() if k != name})


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (LINE.replace(V, '"v":1'), f"not a record of schema {SCHEMA.version} or {BEFORE.version}"),
        (LINE.replace(V, f'"v":{SCHEMA.version + 1}'), "not a record of schema"),
        (LINE.replace(V, f"{V}.0"), "not a record of schema"),
        (LINE.replace(V, f'"v":"{SCHEMA.version}"'), "not a record of schema"),
        (without("v"), "not a record of schema"),
        ("[]", "not a record of schema"),
        ("null", "not a record of schema"),
        ("", "no JSON"),
        (LINE[:-1], "no JSON"),
        ("[" * 100_000, "no JSON"),
        (f'{{"v":{"9" * 5000}}}', "no JSON"),
        (without("basis"), "Basis: exactly the fields"),
        (without("words"), "words: an array of texts"),
        (without("code"), "code: a text is expected"),
        (without("previous"), "previous: a text is expected"),
        (without("digest"), "digest: a text is expected"),
    ],
)
def test_what_is_no_record_of_this_schema_is_refused_and_says_why(line, what):
    with pytest.raises(CodecError, match=what):
        replay(line)


def test_a_record_that_says_it_is_of_the_schema_before_is_not_made_again_the_same():
    found = replay(LINE.replace(V, f'"v":{BEFORE.version}'))
    assert not found.same
    assert '"hedge":' not in found.remade


def test_a_record_with_too_few_q_values_makes_no_decision():
    document = json.loads(LINE)
    document["basis"]["pool"][SCHEMA.rows[PoolInput].index("q_values")] = [1.0]
    with pytest.raises(CodecError, match=r"^basis: "):
        replay(json.dumps(document))


@pytest.mark.parametrize(
    ("sound", "absurd"),
    [(f'"web",{AT!r}', '"web","NaN"'), (f'"web",{AT!r}', '"web",1e300'), (",10,10,", ",10,%s,")],
)
def test_what_no_decision_is_made_of_is_refused(sound, absurd):
    assert sound in LINE
    with pytest.raises(CodecError, match=r"^basis: "):
        replay(LINE.replace(sound, absurd.replace("%s", "1" + "0" * 400), 1))


def test_a_record_nested_beyond_reason_is_refused():
    deep = json.loads(LINE) | {"basis": 0}
    text = json.dumps(deep).replace('"basis": 0', '"basis": ' + "[" * 900 + "]" * 900)
    with pytest.raises(CodecError, match="nested too deeply"):
        replay(text)
