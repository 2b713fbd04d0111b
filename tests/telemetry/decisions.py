"""Decisions, plans and observations for the tests of what is recorded, measured and served."""

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np

from spotvortex.core.decision.budgets import cluster_budget
from spotvortex.core.decision.messages import (
    Basis,
    Decision,
    Economics,
    Move,
    Plan,
    PoolState,
    Proposal,
    Verdict,
)
from spotvortex.core.decision.reconcile import decide
from spotvortex.core.domain.cloud.commitments import CommitmentState
from spotvortex.core.domain.inputs import InputHealth, InputName, InputState
from spotvortex.core.domain.market import MarketFacts, SpotQuote
from spotvortex.core.domain.observation import ClusterFacts, Observation
from spotvortex.core.domain.types import (
    Action,
    Blocker,
    CapacityType,
    Mode,
    Offering,
    Outcome,
    PolicyMode,
    ProposalReason,
    ProposalSource,
    ProvisionerKind,
)
from spotvortex.core.pool.commitments.effective_price import MAX_NAME
from spotvortex.core.pool.input import (
    FEW_CANDIDATES,
    MAX_CANDIDATES,
    MAX_COMMITMENTS_NAMED,
    MAX_OFFERINGS,
    Candidate,
    CommitmentCover,
    GroupFit,
    Money,
    OfferingInput,
    PoolInput,
    Risk,
)
from spotvortex.core.pool.survival.loss_safety import LossSafety
from spotvortex.core.pool.survival.safety_vector import SafetyVector
from tests.core.builders import capped

AT = 1_784_003_670.25
"""2026-07-14T04:34:30.250Z."""

TRACEPARENT = f"00-{'4b' * 16}-{'a1' * 8}-01"
MODEL = hashlib.sha256(b"bundle").hexdigest()
TYPES = ("m6i.2xlarge", "m6a.2xlarge", "m5.2xlarge", "c6i.4xlarge", "c6a.4xlarge", "r6i.2xlarge")
ZONES = ("eu-central-1a", "eu-central-1b", "eu-central-1c")

REFUSAL = Verdict(
    gate="pool_safety",
    outcome=Outcome.REFUSE,
    reason="losing zone us-east-1a leaves shop/api 3 of 4",
    numbers=(("margin_pods", -1.0),),
)


def offering_inputs(n: int) -> tuple[OfferingInput, ...]:
    """Offerings with figures as long as real ones: scores of six decimals, prices of four."""
    rng = np.random.default_rng(7)
    found = []
    for i in range(n):
        capacity, runtime = (round(float(x), 6) for x in rng.random(2) / 9.0)
        found.append(
            OfferingInput(
                offering=Offering(
                    instance_type=TYPES[i % 6] if i < 18 else f"m7i-flex.{i}xlarge",
                    zone=ZONES[i // 6 % 3],
                ),
                n_spot=12 if i else 24,
                n_on_demand=7,
                spot_usd_per_hour=round(0.1374 + i * 0.0011, 4),
                on_demand_usd_per_hour=0.4608,
                capacity_score=capacity,
                runtime_score=runtime,
                in_scope=True,
            )
        )
    return tuple(found)


def candidates(kind: str, offerings: tuple[OfferingInput, ...], n: int) -> tuple[Candidate, ...]:
    """Nodes named as EKS names them."""
    return tuple(
        Candidate(
            node=f"ip-10-214-{100 + i}-{len(kind) + 150}.eu-central-1.compute.internal",
            uid=f"{hashlib.sha256(f'{kind}{i}'.encode()).hexdigest()[:8]}-9c1d-4e5f-8a7b-0123456789ab",
            claim=f"checkout-and-payment-workers-{kind[0]}{i}7xz",
            node_group="checkout-and-payment-workers",
            offering=offerings[(i * 5) % len(offerings)].offering,
            n_pods=17 + i,
            workload_cpu_milli=6250,
            workload_memory_bytes=25_769_803_776,
            sides=("checkout-and-payment-workers",),
        )
        for i in range(n)
    )


def room(n_placed: int, **changes: Any) -> GroupFit:
    """A NodePool with limits that leave more than enough."""
    values: dict[str, Any] = {
        "node_group": "web",
        "n_placed": n_placed,
        "cpu_left_milli": 412_000,
        "memory_left_mib": 1_648_640,
        "launch_cpu_milli": 16_000,
        "launch_memory_mib": 63_472,
    }
    return GroupFit(**(values | changes))


def pool_input(*, n_offerings: int = 3, n_candidates: int = 2, **changes: Any) -> PoolInput:
    """A pool of 20 nodes, 12 of them on Spot."""
    offerings = offering_inputs(n_offerings)
    values: dict[str, Any] = {
        "pool": "web",
        "at": AT,
        "provisioner": ProvisionerKind.KARPENTER,
        "n_spot": 12,
        "n_on_demand": 8,
        "n_reserved": 0,
        "n_unknown": 0,
        "n_spot_out_of_scope": 0,
        "n_moving": 0,
        "n_not_ready": 0,
        "allows_spot": True,
        "allows_on_demand": True,
        "cpu_requested_ratio": 0.671235,
        "memory_requested_ratio": 0.551235,
        "offerings": offerings,
        "n_offerings": n_offerings,
        "spot_risk": Risk(
            capacity=0.03,
            runtime=0.05,
            worst=str(offerings[0].offering),
            worst_runtime=0.05,
        ),
        "entry_risk": Risk(capacity=0.041235, runtime=0.061235),
        "spot_money": Money(
            spot_usd_per_hour=0.1374,
            on_demand_usd_per_hour=0.4608,
            covered_ratio=1.0,
            last_resort=False,
        ),
        "entry_money": Money(
            spot_usd_per_hour=0.1474,
            on_demand_usd_per_hour=0.4608,
            covered_ratio=0.958333,
            last_resort=False,
        ),
        "safety": LossSafety(
            n_pdbs=14,
            known=True,
            margin_pods=1,
            margin_pdb="shop/checkout-api",
            margin_zone="eu-central-1a",
            safe_to_spot_nodes=MAX_CANDIDATES,
            n_workloads=140,
            least_pods=1,
            least_of="shop/Deployment/checkout-api",
            least_loss="m6i.2xlarge/eu-central-1a",
            safe_by_word_nodes=MAX_CANDIDATES,
            n_breaking=12,
            n_relieving=3,
        ),
        "vector": SafetyVector(
            critical_spot_ratio=0.691358,
            stateful_ratio=0.123457,
            evictable_ratio=0.987654,
            slack_one_pods=-1,
            slack_two_pods=-12,
            restart_p95_s=127.5,
            spare_on_demand_nodes=12.345679,
            zone_score=0.5,
            recovery_risk=0.753086,
            safe_spot_ratio=0.25,
        ),
        "to_on_demand": candidates("away", offerings, n_candidates),
        "to_spot": candidates("entry", offerings, n_candidates),
        "n_spot_movable": 11,
        "n_on_demand_movable": 7,
        "room_on_demand": room(11),
        "room_spot": room(7),
        "blocked": ((Blocker.BARE_POD, 1), (Blocker.VOLUME, 2)),
        "unsupported": (),
        "out_of_range": (),
        "outage_hours": 0.25,
        "outage_said_ratio": 0.35,
        "startup_s": 127.5,
        "steps_since_move": 96.425,
        "price_deviation_usd_per_hour": 0.004213,
        "oldest_input_s": 4.25,
        "bad_inputs": (),
        "confidence_terms": (
            ("freshness", 0.95),
            ("history", 0.853933),
            ("model_range", 1.0),
            ("prices", 1.0),
            ("scores", 1.0),
        ),
        "q_values": (0.412345, -0.212345, -0.312345, 0.712345, 0.612345, -1.912345),
    }
    return PoolInput(**(values | changes))


def basis(data: PoolInput, **changes: Any) -> Basis:
    """All that a decision on this pool is a function of."""
    limits = changes.get("limits", capped())
    values: dict[str, Any] = {
        "cycle": 7,
        "pool": data,
        "state": PoolState(),
        "budget": cluster_budget([data], limits),
        "limits": limits,
        "model_digest": MODEL,
        "traceparent": TRACEPARENT,
    }
    return Basis(**(values | changes))


def decision(
    *,
    cycle: int = 7,
    pool: str = "web",
    at: float = AT,
    mode: Mode = Mode.SHADOW,
    traceparent: str = TRACEPARENT,
    n_nodes: int = 0,
    **changes: Any,
) -> Decision:
    """A HOLD that pool safety holds against a wish for more Spot.

    `input` is the whole reduced input, whose name and time then count; `n_nodes` are moved to Spot.
    """
    data = changes.pop("input", None) or pool_input(pool=pool, at=at)
    limits = replace(capped(), mode=mode)
    values: dict[str, Any] = {
        "decision_id": f"{cycle}-{data.pool}",
        "basis": basis(data, cycle=cycle, limits=limits, traceparent=traceparent),
        "proposal": Proposal(action=Action.INCREASE_10, reason=ProposalReason.ECONOMIC_INCREASE),
        "other": Proposal(
            action=Action.INCREASE_10,
            reason=ProposalReason.BEST_Q_VALUE,
            source=ProposalSource.RL,
            margin=0.038095,
        ),
        "action": Action.HOLD,
        "reason": "pool_safety",
        "verdicts": (
            Verdict(gate="input_freshness", outcome=Outcome.ALLOW, reason="all inputs are fresh"),
            REFUSAL,
            Verdict(gate="fit", outcome=Outcome.NOT_EVALUATED, reason="proven by placeholders"),
        ),
        "economics": Economics(
            discount_ratio=0.7018229166666666,
            saving_usd_per_hour=0.32339999999999997,
            risk_cost_usd_per_hour=0.0034560000257492064,
            net_usd_per_hour=0.31994399997425077,
            migration_usd=0.023040000000000001,
            payback_hours=0.07201260220747243,
        ),
        "target_ratio": 0.6,
        "moves": tuple(move(c, CapacityType.SPOT) for c in data.to_spot[:n_nodes]),
        "savings_usd_per_hour": 3.8807999999999994,
    }
    return Decision(**(values | changes))


def move(candidate: Candidate, to: CapacityType) -> Move:
    """The move of a candidate."""
    return Move(candidate=candidate, to=to)


LARGE_NAME = "checkout-and-payment-workers"
WIDE = capped(max_pool_disruption_ratio=1.0, max_cluster_disruption_ratio=1.0)


def large_input(**changes: Any) -> PoolInput:
    """As many offerings and candidates as there can be, with names as EKS and Karpenter give."""
    return pool_input(
        n_offerings=MAX_OFFERINGS,
        n_candidates=MAX_CANDIDATES,
        **{
            "pool": LARGE_NAME,
            "n_spot": 205,
            "n_on_demand": 119,
            "n_on_demand_movable": 87,
            "n_spot_movable": 191,
            "room_on_demand": room(
                186, node_group=LARGE_NAME, misfit="eu-central-1a", nodes_left=120
            ),
            "room_spot": room(87, node_group=LARGE_NAME, nodes_left=120),
            "blocked": tuple((blocker, 12) for blocker in Blocker),
            "commitments": CommitmentCover(
                state=CommitmentState.STATED,
                n_covered=31.654321,
                n_kept=17,
                by=tuple(f"{i}{'c' * (MAX_NAME - 1)}" for i in range(MAX_COMMITMENTS_NAMED)),
                unused_usd_per_hour=12.345678,
            ),
            **changes,
        },
    )


def largest_growth() -> Decision:
    """A wave of as many nodes as there can be, with what every gate really answers."""
    made = decide(basis(large_input(), cycle=86_399, limits=WIDE, state=BUSY_STATE))
    assert made.n_nodes == MAX_CANDIDATES
    return made


BUSY_STATE = PoolState(
    target_ratio=0.6327160493827161,
    last_wave_at=AT - 86_400.125,
    last_decrease_at=AT - 90_000.375,
    last_action=Action.DECREASE_30,
)


def largest_refusal() -> Decision:
    """A pool that nearly every gate refuses, each with its longest reason."""
    data = large_input(
        safety=replace(
            pool_input().safety,
            least_pods=-12,
            least_of=f"payments/Deployment/{LARGE_NAME}",
            safe_by_word_nodes=0,
        ),
        n_on_demand_movable=0,
        room_spot=room(87, node_group=LARGE_NAME, misfit="16000m, 30000Mi", cpu_left_milli=4250),
        n_moving=300,
        entry_money=replace(pool_input().entry_money, spot_usd_per_hour=0.4474),
        out_of_range=tuple(str(o.offering) for o in offering_inputs(FEW_CANDIDATES)),
        unsupported=("m7i-flex", "r7iz"),
        bad_inputs=("nodes", "pdbs", "pods", "prices"),
        oldest_input_s=1234.567891,
        confidence_terms=(
            ("freshness", 0.0),
            ("history", 0.853933),
            ("model_range", 0.691358),
            ("prices", 0.987654),
            ("scores", 0.987654),
        ),
    )
    state = replace(BUSY_STATE, last_wave_at=AT - 1.375)
    limits = replace(
        WIDE, policy_mode=PolicyMode.RL, max_pool_disruption_ratio=0.1, on_demand_floor_nodes=87
    )
    return decide(basis(data, cycle=86_399, limits=limits, state=state))


def observation(**changes: Any) -> Observation:
    """One offering with both prices, one without, and two inputs."""
    known, unknown = (Offering(instance_type="m6i.large", zone=z) for z in ("a", "b"))
    quote = SpotQuote(offering=known, spot_usd_per_hour=0.031, on_demand_usd_per_hour=0.096)
    values: dict[str, Any] = {
        "cycle": 7,
        "at": AT,
        "cluster": ClusterFacts(
            pools=(), inputs=(InputHealth(name=InputName.NODES, state=InputState.OK, age_s=2.5),)
        ),
        "market": MarketFacts(
            quotes={known: quote, unknown: SpotQuote(offering=unknown)},
            inputs=(InputHealth(name=InputName.PRICES, state=InputState.STALE, age_s=900.0),),
        ),
        "traceparent": TRACEPARENT,
    }
    return Observation(**(values | changes))


def plan(*decisions: Decision, at: float = AT, traceparent: str = TRACEPARENT) -> Plan:
    """A plan of these decisions."""
    return Plan(
        cycle=decisions[0].cycle if decisions else 7,
        at=at,
        decisions=decisions,
        orders=(),
        observation=observation(at=at),
        traceparent=traceparent,
    )
