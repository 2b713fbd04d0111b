"""A failing episode, made as small as it will go, and kept as text.

Comes in: an episode that breaks a promise. Goes out: a smaller one that still does: with fewer
faults, ticks, processes, pools, nodes and workloads; and episodes as JSON, to be kept and played
again. May not change what goes wrong into something else: the same promise is broken.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from spotvortex.core.domain.limits import Limits
from spotvortex.core.record.codec import CodecError, Json, decode, encode
from spotvortex.errors import EpisodeError
from spotvortex.faultsearch.episode import Episode
from spotvortex.faultsearch.pools import PoolSpec
from spotvortex.faultsearch.run_episode import EpisodeOutcome

_LATER: Final[dict[str, dict[str, Json]]] = {
    "pools": {"shape": "mixed", "spot_weight": 10, "unneeded_s": 600.0},
    "workloads": {"other_pools": [], "max_unavailable_ratio": None, "outage_hours": None},
}
"""Fields of an episode's rows that an older one does not have."""

MAX_TRIES: Final = 200
"""Episodes played to make a failing one smaller."""


def shrink(episode: Episode, promise: int, played: Callable[[Episode], EpisodeOutcome]) -> Episode:
    """Return the smallest episode found that still breaks a promise.

    Args:
        episode: one that breaks it.
        promise: the number of the promise.
        played: plays an episode.
    """
    smallest, left = episode, MAX_TRIES
    found: Episode | None = episode
    while found is not None:  # ends when nothing smaller fails, or after `MAX_TRIES`
        smallest, found = found, None
        for smaller in _smaller(smallest):
            if left <= 0:
                return smallest
            left -= 1
            if any(breach.promise == promise for breach in played(smaller).breaches):
                found = smaller
                break
    return smallest


def _smaller(episode: Episode) -> Iterator[Episode]:
    """Yield episodes with one thing less, the largest steps first."""
    yield from _with_fewer_faults(episode)
    for n_ticks in (episode.n_ticks // 2, episode.n_ticks - 5):
        if n_ticks > 0:
            yield replace(episode, n_ticks=n_ticks)
    if episode.n_processes > 1:
        yield replace(episode, n_processes=1)
    if len(episode.pools) > 1:
        yield from (_without(episode, pool) for pool in episode.pools)
    for pool in episode.pools:
        yield from _with_fewer_nodes(episode, pool)
    for workload in episode.workloads:
        yield replace(episode, workloads=tuple(w for w in episode.workloads if w is not workload))


def _with_fewer_faults(episode: Episode) -> Iterator[Episode]:
    faults = episode.faults
    if len(faults) > 1:
        yield replace(episode, faults=())
    for index in range(len(faults)):
        yield replace(episode, faults=(*faults[:index], *faults[index + 1 :]))


def _with_fewer_nodes(episode: Episode, pool: PoolSpec) -> Iterator[Episode]:
    fewer = []
    if pool.n_on_demand > 0:
        fewer.append(replace(pool, n_on_demand=pool.n_on_demand - 1))
    if pool.n_spot > 1:
        fewer.append(replace(pool, n_spot=pool.n_spot - 1))
    for smaller in fewer:
        yield replace(episode, pools=tuple(smaller if p is pool else p for p in episode.pools))


def _without(episode: Episode, pool: PoolSpec) -> Episode:
    return replace(
        episode,
        pools=tuple(p for p in episode.pools if p is not pool),
        workloads=tuple(w for w in episode.workloads if w.pool != pool.name),
    )


def to_text(episode: Episode) -> str:
    """Write an episode down, so that it can be kept and played again."""
    return json.dumps(encode(episode), indent=1)


def from_text(text: str) -> Episode:
    """Read an episode back; a limit that it does not name has its default, and so have rows.

    Raises:
        EpisodeError: it is none; the text says where.
    """
    try:
        document = json.loads(text)
        if not isinstance(document, dict) or not isinstance(document.get("limits"), dict):
            raise EpisodeError("no episode: not an object with an object of limits")
        rows = {name: _with_later(document.get(name), later) for name, later in _LATER.items()}
        return decode(Episode, {**document, **rows, "limits": _filled(document["limits"])})
    except (ValueError, CodecError) as error:
        raise EpisodeError(f"no episode: {error}") from error


def _with_later(rows: Json, later: dict[str, Json]) -> Json:
    """Give rows of an older episode the fields that came later, as they were by themselves."""
    if not isinstance(rows, list):
        return rows
    return [{**later, **row} if isinstance(row, dict) else row for row in rows]


def _filled(named: dict[str, Json]) -> Json:
    """Give the limits that are not named their defaults: an episode outlives those of its day."""
    known = encode(Limits())
    assert isinstance(known, dict)
    if unknown := sorted(named.keys() - known.keys()):
        raise EpisodeError(f"no episode: unknown limit {unknown[0]}")
    return {**known, **named}
