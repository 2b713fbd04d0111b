"""The evaluation protocol: every constant that a verdict rests on, fixed before the first result.

Comes in: `protocol.json` beside this module, or somebody else's file of the same form. Goes out: a
`Protocol`, with the SHA-256 of the very bytes of the file, so that `sha256sum` gives the same. May
not fill in a missing field: a protocol states all of them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

from spotvortex.core.record.codec import CodecError, decode
from spotvortex.errors import ProtocolError
from spotvortex.results.accounting import Costs
from spotvortex.results.verdict import GateBounds

OWN_PATH: Final = Path(__file__).with_name("protocol.json")
VERSION: Final = 1
MAX_POOLS: Final = 3
"""Pools that a world may have at most; more make a run longer than its figure is worth."""

MAX_BYTES: Final = 1_000_000
Form = TypeVar("Form")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class SettingChoice(StrEnum):
    """How one of a baseline's settings is chosen."""

    BEST_IN_FAMILY = "highest_mean_net_profit_in_family"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldFamily:
    """A family of worlds.

    Attributes:
        name: the family's name.
        replays: it replays recorded series.
        hazard_per_node_hour: losses per node-hour; None where it replays.
    """

    name: str
    replays: bool
    hazard_per_node_hour: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KarpenterSetting:
    """One setting of plain Karpenter.

    Attributes:
        name: the policy's name in results.
        consolidate_after_s: how long a node has to be quiet before it may be consolidated.
        disruption_budget_ratio: share of nodes that may be disrupted at once.
        evicts_at_notice: whether pods are evicted at the notice, as Karpenter does, or only when
            their replacement is ready.
    """

    name: str
    consolidate_after_s: float
    disruption_budget_ratio: float
    evicts_at_notice: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivities:
    """What is changed beside the verdict, one at a time.

    Attributes:
        ci: costs of an interruption, in minutes of the node's on-demand price.
        boot_factor: factors on the time that a node takes to come.
        hazard_factor: factors on the hazard of a loss.
        notice_loss_ratio: shares of interruptions without a notice, 0..1.
    """

    ci: tuple[float, ...]
    boot_factor: tuple[float, ...]
    hazard_factor: tuple[float, ...]
    notice_loss_ratio: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Baselines:
    """Settings of the rivals.

    Attributes:
        b2_spot_ratio: static shares of Spot (B2), 0..1.
        b3_choice: how the setting of Karpenter (B3) is chosen that counts.
        b3: settings of Karpenter that evicts at a notice.
        b3_lazy: settings of Karpenter that awaits a replacement first.
        b4_n_extra: extra nodes of SpotHedge (B4).
    """

    b2_spot_ratio: tuple[float, ...]
    b3_choice: SettingChoice
    b3: tuple[KarpenterSetting, ...]
    b3_lazy: tuple[KarpenterSetting, ...]
    b4_n_extra: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap:
    """How intervals are made.

    Attributes:
        n_resamples: resamples drawn.
        seed: the seed of the draws.
        level_ratio: confidence of the interval, 0..1.
    """

    n_resamples: int
    seed: int
    level_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One change of the worlds.

    Attributes:
        name: the `variant` of results, "" where nothing changes.
        boot_factor: factor on the time that a node takes to come.
        hazard_factor: factor on the hazard of a loss.
        notice_loss_ratio: share of interruptions without a notice, 0..1.
    """

    name: str
    boot_factor: float = 1.0
    hazard_factor: float = 1.0
    notice_loss_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """The whole protocol.

    Attributes:
        version: of this form.
        costs: the constants of the verdict.
        families: families of worlds.
        mixes: mixes of workloads.
        n_seeds: seeds 0 .. n - 1 of each family and mix.
        n_days: days of each run.
        max_pools: pools of a world at most.
        notice_loss_ratio: interruptions without a notice.
        sensitivities: what is changed beside the verdict.
        baselines: settings of the rivals.
        bound: the policy that knows the future, for headroom and regret.
        gate: what has to be reached.
        bootstrap: how intervals are made.
        digest: SHA-256 of the file, hexadecimal.
    """

    version: int
    costs: Costs
    families: tuple[WorldFamily, ...]
    mixes: tuple[str, ...]
    n_seeds: int
    n_days: int
    max_pools: int
    notice_loss_ratio: float
    sensitivities: Sensitivities
    baselines: Baselines
    bound: str
    gate: GateBounds
    bootstrap: Bootstrap
    digest: str

    @property
    def variants(self) -> tuple[Variant, ...]:
        """The unchanged worlds first, then one change after the other."""
        changed, notice = self.sensitivities, self.notice_loss_ratio
        boot = (
            Variant(name=f"boot-x{f:g}", boot_factor=f, notice_loss_ratio=notice)
            for f in changed.boot_factor
        )
        hazard = (
            Variant(name=f"hazard-x{f:g}", hazard_factor=f, notice_loss_ratio=notice)
            for f in changed.hazard_factor
        )
        lost = (
            Variant(name=f"notice-loss-{100 * r:g}pct", notice_loss_ratio=r)
            for r in changed.notice_loss_ratio
            if r != notice
        )
        return (Variant(name="", notice_loss_ratio=notice), *boot, *hazard, *lost)


def load(path: Path = OWN_PATH) -> Protocol:
    """Read a protocol and check it.

    Raises:
        ProtocolError: it cannot be read or a value makes no sense; the text names field and fix.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ProtocolError(
            f"{path} cannot be read: {error.strerror}; give another file"
        ) from error
    try:
        return parse(raw)
    except ProtocolError as error:
        raise ProtocolError(f"{path}: {error}") from error


def parse(raw: bytes) -> Protocol:
    """Read a protocol from the bytes of its file.

    Raises:
        ProtocolError: as of `load`, without the path.
    """
    protocol = read_form(Protocol, raw, OWN_PATH.name)
    for fault in _faults(protocol):
        raise ProtocolError(fault)
    return protocol


def read_form(form: type[Form], raw: bytes, example: str) -> Form:
    """Read the bytes of a file as a form whose `digest` is made from them.

    Args:
        form: the class, all of whose other fields have to be there.
        raw: the bytes.
        example: the name of the file to compare with.

    Raises:
        ProtocolError: it is no such form; the text names the field.
    """
    if len(raw) > MAX_BYTES:
        raise ProtocolError(f"it is larger than {MAX_BYTES} bytes; is it a protocol?")
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"it is not JSON: {error}; compare it with {example}") from error
    if isinstance(data, dict) and "digest" in data:
        raise ProtocolError("unknown field digest; remove it, it is made from the file")
    if isinstance(data, dict):
        data = data | {"digest": hashlib.sha256(raw).hexdigest()}
    _require_fields(form, data, "", example)
    try:
        return decode(form, data)
    except CodecError as error:
        raise ProtocolError(f"{error}; compare it with {example}") from error


def _require_fields(kind: object, data: object, where: str, example: str) -> None:
    """Compare the fields at every level with those of the types."""
    if typing.get_origin(kind) is tuple and isinstance(data, list):
        for i, item in enumerate(data):
            _require_fields(typing.get_args(kind)[0], item, f"{where}[{i}]", example)
    if not isinstance(kind, type) or not dataclasses.is_dataclass(kind):
        return
    if not isinstance(data, dict):
        raise ProtocolError(f"{where or 'the whole'} has to be an object of fields")
    hints = typing.get_type_hints(kind)
    dot = f"{where}." if where else ""
    for name in sorted(hints.keys() - data.keys()):
        raise ProtocolError(f"missing field {dot}{name}; add it as in {example}")
    for name in sorted(data.keys() - hints.keys()):
        raise ProtocolError(f"unknown field {dot}{name}; remove it, or correct its spelling")
    for name, hint in hints.items():
        _require_fields(hint, data[name], f"{dot}{name}", example)


def _faults(protocol: Protocol) -> Iterator[str]:
    """Yield what makes no sense, with the field and what would."""
    if protocol.version != VERSION:
        yield f"version is {protocol.version}; this code reads version {VERSION}"
    yield from _bad_names(protocol)
    yield from _bad_families(protocol.families)
    yield from _out_of_range(protocol)


def _names(protocol: Protocol) -> Mapping[str, Sequence[str]]:
    baselines = protocol.baselines
    return {
        "families": [f.name for f in protocol.families],
        "mixes": protocol.mixes,
        "baselines.b3": [s.name for s in baselines.b3],
        "baselines.b3_lazy": [s.name for s in baselines.b3_lazy],
        "bound": [protocol.bound],
    }


def _bad_names(protocol: Protocol) -> Iterator[str]:
    for field, names in _names(protocol).items():
        if not names and field != "baselines.b3_lazy":
            yield f"{field} is empty; give at least one"
        if len(set(names)) < len(names):
            yield f"{field} has a name twice; make them differ"
        for name in names:
            if not _NAME.fullmatch(name):
                yield f"{field}: {name!r} is no name; use letters, digits, dots and dashes"


def _bad_families(families: Sequence[WorldFamily]) -> Iterator[str]:
    for i, family in enumerate(families):
        where, hazard = f"families[{i}].hazard_per_node_hour", family.hazard_per_node_hour
        if family.replays and hazard is not None:
            yield f"{where} is {hazard:g}; set it to null, a replayed series has its own"
        if not family.replays and (hazard is None or not 0.0 < hazard < math.inf):
            yield f"{where} is {hazard}; give losses per node-hour above 0"


def _out_of_range(protocol: Protocol) -> Iterator[str]:
    for field, value, low, high in _ranges(protocol):
        if not low <= value <= high:
            yield f"{field} is {value:g}; give a value from {low:g} to {high:g}"


def _ranges(protocol: Protocol) -> Iterator[tuple[str, float, float, float]]:
    """Yield field, value, smallest and largest."""
    costs, gate, bootstrap = protocol.costs, protocol.gate, protocol.bootstrap
    changed, baselines = protocol.sensitivities, protocol.baselines
    yield "costs.v", costs.v, 0.001, 1000.0
    yield "costs.cm", costs.cm, 0.0, 10_000.0
    yield "costs.ci", costs.ci, 0.0, 10_000.0
    yield "n_seeds", protocol.n_seeds, 1, 100_000
    yield "n_days", protocol.n_days, 1, 3660
    yield "max_pools", protocol.max_pools, 1, MAX_POOLS
    yield "notice_loss_ratio", protocol.notice_loss_ratio, 0.0, 1.0
    yield "gate.min_improvement_pct", gate.min_improvement_pct, -100.0, 1000.0
    yield "gate.max_outage_delta_minutes", gate.max_outage_delta_minutes, 0.0, 10_000.0
    yield "gate.void_below_ratio", gate.void_below_ratio, 0.0, 1.0
    yield "gate.min_void_points", gate.min_void_points, -100.0, 100.0
    yield "bootstrap.n_resamples", bootstrap.n_resamples, 100, 100_000
    yield "bootstrap.seed", bootstrap.seed, 0, 2**63
    yield "bootstrap.level_ratio", bootstrap.level_ratio, 0.5, 0.999
    yield from _each("sensitivities.ci", changed.ci, 0.0, 10_000.0)
    yield from _each("sensitivities.boot_factor", changed.boot_factor, 0.01, 100.0)
    yield from _each("sensitivities.hazard_factor", changed.hazard_factor, 0.001, 1000.0)
    yield from _each("sensitivities.notice_loss_ratio", changed.notice_loss_ratio, 0.0, 1.0)
    yield from _each("baselines.b2_spot_ratio", baselines.b2_spot_ratio, 0.0, 1.0)
    yield from _each("baselines.b4_n_extra", baselines.b4_n_extra, 0, 1000)
    for field, settings in (("b3", baselines.b3), ("b3_lazy", baselines.b3_lazy)):
        where, budgets = f"baselines.{field}", [s.disruption_budget_ratio for s in settings]
        yield from _each(f"{where}.disruption_budget_ratio", budgets, 0.0, 1.0)
        waits = [s.consolidate_after_s for s in settings]
        yield from _each(f"{where}.consolidate_after_s", waits, 0.0, 86_400.0)


def _each(
    field: str, values: Sequence[float], low: float, high: float
) -> Iterator[tuple[str, float, float, float]]:
    return ((field, value, low, high) for value in values)
