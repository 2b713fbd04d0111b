"""What a cluster would have seen of recorded markets, and what then became of its nodes.

Comes in: a folder of capacity traces (`scripts.train.series`), a seed. Goes out: one `.npz` of
samples: trajectories, the 10-minute step in which a held node was lost, time and place of each.
A made-up tenant holds nodes where it can: it asks again after a refusal, and leaves by itself now
and then. Only its own nodes, launches and prices reach the features, and these are built by the
interruption memory and `core.scoring.trajectory`, as in the daemon. May not show a sample anything
of capacity that the tenant does not hold; the labels alone look at the trace.

    python -m scripts.train.dataset TRACES [--generated] --out data.npz [--seed 1] [--replicas 3]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scripts.train.series import Market, read_markets
from spotvortex.core.domain.market import MarketFacts, SpotQuote
from spotvortex.core.domain.types import Offering
from spotvortex.core.scoring.interruption_memory import (
    OfferingMemory,
    context,
    memory_of,
    stepped,
)
from spotvortex.core.scoring.node_ends import Gap
from spotvortex.core.scoring.trajectory import AHEAD_HOURS, trajectories
from spotvortex.sim.market.random_streams import stream
from spotvortex.sim.market.semimarkov import FAMILIES, generate
from spotvortex.sim.market.shortage_clock import TimeSpan

STEP_S: Final = 300.0
"""The tenant looks, and its memory learns, every five minutes."""

SAMPLE_STEPS: Final = 4
"""A sample of each held offering every twenty minutes."""

SAMPLE_STEPS_DRAWN: Final = 12
"""Every hour in a market that was drawn, of which one tenant is enough: there is plenty."""

MOST_NODES: Final = 16
TENURE_HOURS: Final = (6.0, 24.0, 96.0)
"""Mean time after which a tenant leaves by itself, by replica."""

RETRY_MINUTES: Final = (5.0, 30.0, 120.0)
"""Mean time after which it asks again, by replica."""

GENERATED_TYPES: Final = ("c6i.large", "m6i.xlarge", "r6g.4xlarge")
GENERATED_ZONES: Final = ("us-east-1a", "us-east-1b", "eu-west-1a", "eu-west-1b")
GENERATED_DAYS: Final = 14.0
GENERATED_AT: Final = 1_672_531_200.0
"""2023-01-01, when the drawn markets are said to begin."""

N_AHEAD: Final = len(AHEAD_HOURS)

Arrays = dict[str, NDArray[Any]]


@dataclass(slots=True)
class _Tenant:
    """One offering as the tenant holds it."""

    offering: Offering
    want: int
    chance: Random
    phase: int
    known: OfferingMemory
    held: int = 0
    since: float | None = None
    ask_at: float = 0.0
    leave_at: float = float("inf")


@dataclass(slots=True)
class _Rows:
    """Samples as they come."""

    trajectories: list[NDArray[np.float32]] = field(default_factory=list)
    facts: list[tuple[float, int, int, int, int]] = field(default_factory=list)


def live_through(market: Market, seed: int, replica: int) -> Iterator[tuple[float, list[_Tenant]]]:
    """Play one tenant through a market; yields after each step the time and what it holds."""
    tenure, retry = (
        values[replica % len(values)] * scale
        for values, scale in ((TENURE_HOURS, 3600.0), (RETRY_MINUTES, 60.0))
    )
    tenants = [
        _Tenant(
            offering=offering,
            want=max(1, min(MOST_NODES, *([max(counts.values)] * 2))),
            chance=(chance := stream(seed, market.name, replica, offering)),
            phase=chance.randrange(_every(market)),
            known=OfferingMemory(updated_at=market.start_at),
            ask_at=market.start_at + chance.expovariate(1.0 / retry),
        )
        for offering, counts in sorted(market.counts.items())
    ]
    at = market.start_at
    while at + STEP_S <= market.end_at:
        for tenant in tenants:
            _step(tenant, market, at, (tenure, retry))
        at += STEP_S
        yield at, tenants


def _every(market: Market) -> int:
    return SAMPLE_STEPS_DRAWN if market.is_generated else SAMPLE_STEPS


def _step(tenant: _Tenant, market: Market, at: float, means: tuple[float, float]) -> None:
    """Let five minutes pass for one offering: losses, a leave, a launch; the memory learns."""
    counts, now = market.counts[tenant.offering], at + STEP_S
    before, tenure, retry = tenant.held, *means
    lost = max(0, before - counts.least(at, now))
    left = before - lost
    if left and now >= tenant.leave_at:
        left, tenant.ask_at = 0, now + tenant.chance.expovariate(1.0 / retry)
    elif lost:
        tenant.ask_at = now + tenant.chance.expovariate(1.0 / retry)
    launched, refused_at = 0, None
    if left < tenant.want and now >= tenant.ask_at and (left or not before):
        launched = max(0, min(tenant.want, counts.at(now)) - left)
        refused_at = now if left + launched < tenant.want else None
        tenant.ask_at = now + tenant.chance.expovariate(1.0 / retry)
    if not left:
        tenant.since = now if launched else None
        tenant.leave_at = now + tenant.chance.expovariate(1.0 / tenure)
    tenant.held = left + launched
    gap = Gap(
        start=at,
        hours=STEP_S / 3600.0,
        n_before=before,
        n_lost=lost,
        has_survivors=bool(lost and before > lost),
        n_now=tenant.held,
        oldest=tenant.since if tenant.held else None,
        refused_at=refused_at,
        n_launched=launched,
    )
    tenant.known = stepped(tenant.known, gap, now)


def quote_of(market: Market, offering: Offering, now: float) -> SpotQuote:
    """Return the quote that the daemon would have had, without a price where none was recorded."""
    prices = market.prices.get(offering)
    if prices is None:
        return SpotQuote(offering=offering)
    grid = np.arange(now - 86_400.0, now + 1.0, 600.0)
    places = ((grid[grid >= prices.start_at] - prices.start_at) / prices.step_s).astype(int)
    places = places[places < len(prices.usd_per_hour)]
    history = tuple(prices.usd_per_hour[place] for place in places)
    return SpotQuote(
        offering=offering,
        spot_usd_per_hour=history[-1] if history else None,
        on_demand_usd_per_hour=prices.on_demand_usd,
        history_usd_per_hour=history,
        age_s=0.0,
    )


def _sample(rows: _Rows, market: Market, at: float, tenants: list[_Tenant], key: int) -> None:
    """Take a sample of every held offering whose turn it is."""
    step = round((at - market.start_at) / STEP_S)
    due = [t for t in tenants if t.held and step % _every(market) == t.phase and at < market.end_at]
    if not due:
        return
    memory = memory_of({t.offering: t.known for t in tenants}, {}, at=at)
    quotes = {t.offering: quote_of(market, t.offering, at) for t in due}
    facts = MarketFacts(quotes=quotes)
    rows.trajectories.append(trajectories([context(memory, t.offering, facts, at) for t in due]))
    for tenant in due:
        rank = tenant.chance.randint(1, tenant.held)
        counts = market.counts[tenant.offering]
        lost_at = counts.first_below(rank, at, min(at + 3600.0 * AHEAD_HOURS[-1], market.end_at))
        step_lost = N_AHEAD if lost_at is None else min(N_AHEAD, int((lost_at - at) // 600.0))
        n_known = min(N_AHEAD, int((market.end_at - at) // 600.0))
        place = sorted(market.counts).index(tenant.offering)
        rows.facts.append((at, key, place, step_lost, n_known))


def samples_of(markets: Sequence[Market], seed: int, replicas: int) -> Arrays:
    """Return the samples of all markets, as arrays of one length, and the names."""
    rows, offerings = _Rows(), []
    replica_of: list[int] = []
    for key, market in enumerate(markets):
        begun = time.perf_counter()
        for replica in range(1 if market.is_generated else replicas):
            for at, tenants in live_through(market, seed, replica):
                _sample(rows, market, at, tenants, key)
            replica_of.extend([replica] * (len(rows.facts) - len(replica_of)))
        offerings.extend(f"{market.name}|{offering}" for offering in sorted(market.counts))
        print(
            f"{market.name}: {len(market.counts)} offerings, {len(rows.facts)} samples so far, "
            f"{time.perf_counter() - begun:.1f} s",
            flush=True,
        )
    at, key, place, lost, known = map(np.asarray, zip(*rows.facts, strict=True))
    first = np.cumsum([0, *(len(m.counts) for m in markets)])[:-1]
    spans = np.array([(m.start_at, m.end_at) for m in markets])
    share = (at - spans[key, 0]) / (spans[key, 1] - spans[key, 0])
    return {
        "x": np.concatenate(rows.trajectories),
        "at": at,
        "share": share,
        "span_hours": (spans[key, 1] - spans[key, 0]) / 3600.0,
        "market": key,
        "offering": first[key] + place,
        "lost_step": lost,
        "n_known": known,
        "replica": np.asarray(replica_of),
        "generated": np.array([m.is_generated for m in markets])[key],
        "market_names": np.array([m.name for m in markets]),
        "offering_names": np.array(offerings),
        "spans": spans,
    }


def generated_markets(seed: int) -> list[Market]:
    """Draw two markets of each family of the simulator: one to train on, one to validate."""
    offerings = [
        Offering(instance_type=name, zone=zone)
        for name in GENERATED_TYPES
        for zone in GENERATED_ZONES
    ]
    span = TimeSpan(start_at=GENERATED_AT, seconds=GENERATED_DAYS * 86_400.0)
    return [
        Market(
            name=f"generated-{family.name}-{use}",
            counts=generate(seed=seed + turn, family=family, offerings=offerings, span=span),
            start_at=span.start_at,
            end_at=span.end_at,
            is_generated=True,
        )
        for family in FAMILIES.values()
        for turn, use in ((100, "train"), (200, "val"))
    ]


def digest_of(folder: Path) -> str:
    """Return one digest of every file below a folder."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        whole.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()


def main() -> None:
    """Read, live through, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("traces", type=Path, nargs="+", help="folders of capacity traces")
    parser.add_argument("--out", type=Path, required=True, help="the .npz to write")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--replicas", type=int, default=3, help="tenants that live through each")
    parser.add_argument(
        "--generated", action="store_true", help="add markets drawn by the simulator's generator"
    )
    options = parser.parse_args()
    markets = [market for folder in options.traces for market in read_markets(folder)]
    if options.generated:
        markets += generated_markets(options.seed)
    arrays = samples_of(markets, options.seed, options.replicas)
    digests = {folder.name: digest_of(folder) for folder in options.traces}
    np.savez_compressed(
        options.out, **arrays, seed=options.seed, sources=np.array(json.dumps(digests))
    )
    print(f"{options.out}: {len(arrays['at'])} samples")


if __name__ == "__main__":
    main()
