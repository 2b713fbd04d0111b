"""Decisions, plans and observations for the tests of what is recorded, measured and served."""

import hashlib
from typing import Any

import numpy as np

from spotvortex.core.budgets import cluster_budget
from spotvortex.core.gates import Case, evaluate
from spotvortex.core.limits import Limits
from spotvortex.core.messages import (
    Decision,
    Economics,
    Move,
    Plan,
    PoolState,
    Proposal,
    Verdict,
)
from spotvortex.core.observation import (
    ClusterFacts,
    InputHealth,
    InputState,
    MarketFacts,
    Observation,
    SpotQuote,
)
from spotvortex.core.pools import (
    MAX_CANDIDATES,
    MAX_OFFERINGS,
    Candidate,
    Money,
    OfferingInput,
    PoolInput,
    Risk,
    Safety,
)
from spotvortex.core.types import (
    Action,
    Blocker,
    CapacityType,
    Mode,
    Offering,
    Outcome,
    Provisioner,
)

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
    """Offerings with figures as long as real ones: scores are float32, prices have few digits."""
    rng = np.random.default_rng(7)
    found = []
    for i in range(n):
        capacity, runtime = (float(x) for x in rng.random(2, dtype=np.float32) / np.float32(9.0))
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
            offering=offerings[(i * 5) % len(offerings)].offering,
            n_pods=17 + i,
            workload_cpu_milli=6250,
            workload_memory_bytes=25_769_803_776,
        )
        for i in range(n)
    )


def pool_input(*, n_offerings: int = 3, n_candidates: int = 2, **changes: Any) -> PoolInput:
    """A pool of 20 nodes, 12 of them on Spot."""
    offerings = offering_inputs(n_offerings)
    values: dict[str, Any] = {
        "pool": "web",
        "at": AT,
        "provisioner": Provisioner.KARPENTER,
        "n_spot": 12,
        "n_on_demand": 8,
        "n_reserved": 0,
        "n_unknown": 0,
        "n_spot_out_of_scope": 0,
        "n_moving": 0,
        "n_not_ready": 0,
        "allows_spot": True,
        "allows_on_demand": True,
        "cpu_requested_ratio": 0.6712345678901234,
        "memory_requested_ratio": 0.5512345678901234,
        "offerings": offerings,
        "n_offerings": n_offerings,
        "spot_risk": Risk(
            capacity=0.03,
            runtime=0.05,
            worst=str(offerings[0].offering),
            worst_runtime=0.05000000074505806,
        ),
        "entry_risk": Risk(capacity=0.0412345678901234, runtime=0.0612345678901234),
        "spot_money": Money(
            spot_usd_per_hour=0.13740000000000002,
            on_demand_usd_per_hour=0.4608,
            covered_ratio=1.0,
            last_resort=False,
        ),
        "entry_money": Money(
            spot_usd_per_hour=0.14740000000000003,
            on_demand_usd_per_hour=0.4608,
            covered_ratio=0.9583333333333334,
            last_resort=False,
        ),
        "safety": Safety(
            n_pdbs=14,
            known=True,
            margin_pods=1,
            margin_pdb="shop/checkout-api",
            margin_zone="eu-central-1a",
            safe_to_spot_nodes=6,
        ),
        "to_on_demand": candidates("away", offerings, n_candidates),
        "to_spot": candidates("entry", offerings, n_candidates),
        "n_spot_movable": 11,
        "n_on_demand_movable": 7,
        "blocked": ((Blocker.BARE_POD, 1), (Blocker.VOLUME, 2)),
        "unsupported": (),
        "out_of_range": (),
        "oldest_input_s": 4.25,
        "bad_inputs": (),
        "confidence_terms": (
            ("freshness", 0.95),
            ("history", 0.8539325842696629),
            ("model_range", 1.0),
            ("prices", 1.0),
            ("scores", 1.0),
        ),
    }
    return PoolInput(**(values | changes))


def decision(**changes: Any) -> Decision:
    """A HOLD that pool safety holds against a wish for more Spot."""
    data = changes.pop("input", None) or pool_input(pool=changes.get("pool", "web"))
    values: dict[str, Any] = {
        "decision_id": f"{changes.get('cycle', 7)}-{data.pool}",
        "cycle": 7,
        "at": AT,
        "pool": data.pool,
        "mode": Mode.SHADOW,
        "input": data,
        "proposal": Proposal(action=Action.INCREASE_10, reason="economic_increase"),
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
        "current_ratio": 0.6,
        "target_ratio": 0.6,
        "n_nodes": 0,
        "moves": (),
        "savings_usd_per_hour": 3.8807999999999994,
        "model_digest": MODEL,
        "traceparent": TRACEPARENT,
    }
    return Decision(**(values | changes))


def move(candidate: Candidate, to: CapacityType) -> Move:
    """The move of a candidate."""
    return Move(node=candidate.node, uid=candidate.uid, from_offering=candidate.offering, to=to)


def largest_decision() -> Decision:
    """As many offerings, candidates and moves as there can be, with what every gate answers."""
    data = pool_input(
        n_offerings=MAX_OFFERINGS,
        n_candidates=MAX_CANDIDATES,
        pool="checkout-and-payment-workers",
        blocked=tuple((blocker, 12) for blocker in sorted(Blocker)[:5]),
    )
    limits = Limits()
    proposal = Proposal(action=Action.INCREASE_30, reason="economic_increase")
    made = decision(input=data, decision_id="86399-checkout-and-payment-workers", proposal=proposal)
    case = Case(
        pool=data,
        state=PoolState(),
        proposal=proposal,
        economics=made.economics,
        budget=cluster_budget([data], limits),
        limits=limits,
    )
    return decision(
        input=data,
        cycle=86399,
        decision_id=made.decision_id,
        proposal=proposal,
        action=Action.INCREASE_30,
        reason="economic_increase",
        verdicts=evaluate(case),
        current_ratio=0.6086956521739131,
        target_ratio=0.9086956521739131,
        n_nodes=MAX_CANDIDATES,
        moves=tuple(move(c, CapacityType.SPOT) for c in data.to_spot),
    )


def observation(**changes: Any) -> Observation:
    """One offering with both prices, one without, and two inputs."""
    known, unknown = (Offering(instance_type="m6i.large", zone=z) for z in ("a", "b"))
    quote = SpotQuote(offering=known, spot_usd_per_hour=0.031, on_demand_usd_per_hour=0.096)
    values: dict[str, Any] = {
        "cycle": 7,
        "at": AT,
        "cluster": ClusterFacts(
            pools=(), inputs=(InputHealth(name="nodes", state=InputState.OK, age_s=2.5),)
        ),
        "market": MarketFacts(
            quotes={known: quote, unknown: SpotQuote(offering=unknown)},
            inputs=(InputHealth(name="prices", state=InputState.STALE, age_s=900.0),),
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
