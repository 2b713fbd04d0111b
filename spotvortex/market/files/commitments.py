"""The statement of commitments as values.

Comes in: a JSON file as `docs/commitments.md` describes it. Goes out: `Commitments`, each amount
already as large as this cluster's share of it. May not repair a statement: what is not as expected
is refused whole, with file, field and fix.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from spotvortex.core.domain.cloud.commitments import (
    Commitment,
    CommitmentKind,
    Commitments,
    CommitmentState,
    units_of,
)
from spotvortex.core.domain.cloud.zones import region_of
from spotvortex.errors import CommitmentsError, in_words

MAX_BYTES: Final = 1024 * 1024
"""What a ConfigMap can hold."""

MAX_ITEMS: Final = 200
"""Commitments of one statement."""

_SEE: Final = "see docs/commitments.md"
_REGION: Final = re.compile(r"[a-z]+(-[a-z]+)+-\d+")
_FAMILY: Final = re.compile(r"[a-z][a-z0-9-]*")
_TYPE: Final = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+")

_Name = Annotated[str, Meta(min_length=1, max_length=128)]
_Percent = Annotated[float, Meta(ge=0.0, lt=100.0)]
_Share = Annotated[float, Meta(ge=0.0, le=1.0)]
_Usd = Annotated[float, Meta(gt=0.0, le=1e6)]
_Count = Annotated[float, Meta(gt=0.0, le=1e6)]


class _Item(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every commitment has; `allocation` is this cluster's share of it."""

    name: _Name
    region: str = ""
    family: str = ""
    allocation: _Share | None = None
    ends_at: datetime | None = None


class _Plan(_Item, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Savings Plan; `discounts_percent` goes by instance type or family."""

    type: Literal["compute", "ec2-instance"]
    usd_per_hour: _Usd
    discount_percent: _Percent
    discounts_percent: Annotated[dict[str, _Percent], Meta(max_length=2000)] = {}


class _Reserved(_Item, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Reserved instances; `discount_percent` only says what unused ones cost."""

    instance_type: str = ""
    zone: str = ""
    count: _Count | None = None
    normalized_units: _Count | None = None
    size_flexible: bool = True
    discount_percent: _Percent = 0.0


class _Statement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file; `allocation` counts where a commitment says none of its own."""

    allocation: _Share = 1.0
    savings_plans: Annotated[list[_Plan], Meta(max_length=MAX_ITEMS)] = []
    reserved_instances: Annotated[list[_Reserved], Meta(max_length=MAX_ITEMS)] = []


class _BadFieldError(Exception):
    """What is wrong with one field: its name, and what to write there."""

    def __init__(self, name: str, fix: str) -> None:
        super().__init__(f"{name}: {fix}")


def read_commitments(path: Path) -> Commitments:
    """Read a statement.

    Raises:
        CommitmentsError: it cannot be read; the text names file, field and fix.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise CommitmentsError(
            f"{path}: cannot be read ({in_words(error)}). Give the path of a JSON file."
        ) from error
    if len(raw) > MAX_BYTES:
        raise CommitmentsError(f"{path.name}: is larger than {MAX_BYTES} bytes; keep it smaller.")
    return commitments_of(raw, path.name)


def commitments_of(raw: bytes, name: str) -> Commitments:
    """Read a statement that is at hand.

    Raises:
        CommitmentsError: as `read_commitments` does; `name` is the file's.
    """
    try:
        statement = msgspec.json.decode(raw, type=_Statement)
        items = tuple(_items(statement))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CommitmentsError(f"{name}: {_readable(error)}; {_SEE}.") from error
    except _BadFieldError as error:
        raise CommitmentsError(f"{name}: {error}; {_SEE}.") from error
    return Commitments(state=CommitmentState.STATED, items=items)


def _readable(error: Exception) -> str:
    """Put the field first: `savings_plans[0].usd_per_hour: expected ...`."""
    what, at, where = str(error).rpartition(" - at `$.")
    return f"{where.rstrip('`')}: {what}" if at else str(error)


def _items(statement: _Statement) -> Iterator[Commitment]:
    names = Counter(i.name for i in (*statement.savings_plans, *statement.reserved_instances))
    for i, plan in enumerate(statement.savings_plans):
        where = f"savings_plans[{i}]"
        _checked(plan, where, names)
        yield _plan(plan, where, statement.allocation)
    for i, reserved in enumerate(statement.reserved_instances):
        where = f"reserved_instances[{i}]"
        _checked(reserved, where, names)
        yield _reserved(reserved, where, statement.allocation)


def _checked(item: _Item, where: str, names: Mapping[str, int]) -> None:
    """Check what every commitment has."""
    if names[item.name] > 1:
        raise _BadFieldError(f"{where}.name", f"{item.name!r} is given twice; give each its own")
    if item.region and not _REGION.fullmatch(item.region):
        raise _BadFieldError(f"{where}.region", "give a region such as us-east-1")
    if item.family and not _FAMILY.fullmatch(item.family):
        raise _BadFieldError(f"{where}.family", "give a family such as m6i, without a size")
    if item.ends_at is not None and item.ends_at.tzinfo is None:
        raise _BadFieldError(f"{where}.ends_at", "add a time zone, as in 2027-06-30T00:00:00Z")


def _plan(plan: _Plan, where: str, share: float) -> Commitment:
    is_compute = plan.type == "compute"
    for name in ("family", "region"):
        given = bool(getattr(plan, name))
        if is_compute and given:
            raise _BadFieldError(f"{where}.{name}", "leave it out: a Compute plan is of any")
        if not is_compute and not given:
            raise _BadFieldError(f"{where}.{name}", "give it: an EC2 Instance plan is of one")
    for key in plan.discounts_percent:
        if not (_TYPE.fullmatch(key) or _FAMILY.fullmatch(key)):
            fix = f"{key!r} is neither a type such as m6i.large nor a family such as m6i"
            raise _BadFieldError(f"{where}.discounts_percent", fix)
    return Commitment(
        name=plan.name,
        kind=CommitmentKind.COMPUTE_PLAN if is_compute else CommitmentKind.INSTANCE_PLAN,
        amount=plan.usd_per_hour * _share(plan, share),
        family=plan.family,
        region=plan.region,
        discount_ratio=plan.discount_percent / 100.0,
        discount_by_type={key: d / 100.0 for key, d in plan.discounts_percent.items()},
        ends_at=_ends_at(plan),
    )


def _reserved(item: _Reserved, where: str, share: float) -> Commitment:
    if bool(item.zone) is bool(item.region):
        raise _BadFieldError(f"{where}.region", "give either a region or a zone")
    if item.zone and not region_of(item.zone):
        raise _BadFieldError(f"{where}.zone", "give a zone such as us-east-1a")
    units = _units(item, where) if item.region else None
    if units is None:
        _needs_type(item, where)
    return Commitment(
        name=item.name,
        kind=CommitmentKind.ZONAL_RESERVED if item.zone else CommitmentKind.REGIONAL_RESERVED,
        amount=(units if units is not None else item.count or 0.0) * _share(item, share),
        instance_type="" if units is not None else item.instance_type,
        family=item.family or item.instance_type.partition(".")[0],
        region=item.region,
        zone=item.zone,
        discount_ratio=item.discount_percent / 100.0,
        ends_at=_ends_at(item),
    )


def _units(item: _Reserved, where: str) -> float | None:
    """Return the units of a family that regional instances are, None where one type is bound."""
    if item.family:
        if item.instance_type or item.count is not None or item.normalized_units is None:
            fix = "give normalized_units with it, or instance_type and count instead"
            raise _BadFieldError(f"{where}.family", fix)
        return item.normalized_units
    _needs_type(item, where)
    of_one = units_of(item.instance_type) if item.size_flexible else None
    return None if of_one is None or item.count is None else of_one * item.count


def _needs_type(item: _Reserved, where: str) -> None:
    if not _TYPE.fullmatch(item.instance_type):
        raise _BadFieldError(f"{where}.instance_type", "give a type such as m6i.large")
    if item.count is None or item.normalized_units is not None or item.family:
        fix = "give it with instance_type, and neither family nor normalized_units"
        raise _BadFieldError(f"{where}.count", fix)


def _share(item: _Item, of_all: float) -> float:
    return of_all if item.allocation is None else item.allocation


def _ends_at(item: _Item) -> float:
    return math.inf if item.ends_at is None else item.ends_at.timestamp()
