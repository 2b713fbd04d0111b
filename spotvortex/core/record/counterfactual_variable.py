"""What a figure that can be turned is: a name, a span, its readers, and how to read and turn it.

Comes in: functions of a basis, of its pool or of its limits. Goes out: a `Variable`. May not know
any figure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from spotvortex.core.decision.messages import Basis
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.types import GateName
from spotvortex.core.pool.input import PoolInput
from spotvortex.core.record.counterfactual_bounds import FLAG, Bounds

POLICY: Final = "policy"
"""Names the one reader of figures that is no gate: the policies."""

Reader: TypeAlias = GateName | Literal["policy"]


@dataclass(frozen=True, slots=True)
class Variable:
    """One figure of a basis that can be turned.

    Attributes:
        name: what the figure is called.
        span: between what bounds it is turned.
        readers: the gates that read it, and `POLICY` where a policy does: nobody else need be asked
            again after a change.
        get: returns the figure, None where it is not known or cannot be turned.
        set: returns the basis with another figure.
    """

    name: str
    span: Bounds
    readers: tuple[Reader, ...]
    get: Callable[[Basis], float | None]
    set: Callable[[Basis, float], Basis]


def of_pool(
    name: str,
    span: Bounds,
    readers: tuple[Reader, ...],
    get: Callable[[PoolInput], float | None],
    put: Callable[[PoolInput, float], PoolInput],
) -> Variable:
    """Make a variable of a figure of the pool."""
    return Variable(
        name, span, readers, lambda b: get(b.pool), lambda b, v: replace(b, pool=put(b.pool, v))
    )


def of_limits(
    name: str,
    span: Bounds,
    readers: tuple[Reader, ...],
    get: Callable[[Limits], float],
    put: Callable[[Limits, float], Limits],
) -> Variable:
    """Make a variable of a limit."""

    def turned(basis: Basis, value: float) -> Basis:
        return replace(basis, limits=put(basis.limits, value))

    return Variable(name, span, readers, lambda b: get(b.limits), turned)


def flag(
    name: str,
    readers: tuple[Reader, ...],
    is_missing: Callable[[PoolInput], bool],
    mend: Callable[[PoolInput], PoolInput],
) -> Variable:
    """Make a variable of what is wrong and could be right; what is right is not turned."""
    return of_pool(
        name, FLAG, readers, lambda p: 0.0 if is_missing(p) else None, lambda p, _: mend(p)
    )
