"""Scores of offerings, from a model's rows or without them.

Comes in: what is known of each offering, and the rows that a model gave where a model decides. Goes
out: one `OfferingScore` an offering. Where the interruption memory decides, no model is needed;
where a model does and abstains, the memory answers; where there is no row at all, there is no
score. May not run a model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from spotvortex.core.domain.cloud.instance_types import Scope
from spotvortex.core.domain.types import Fallback, Offering
from spotvortex.core.scoring.features import Matrix, OfferingContext, OfferingScore
from spotvortex.core.scoring.interruption_memory import remembered_score

Scores = Mapping[Offering, OfferingScore]


def scores_of(
    contexts: Sequence[OfferingContext],
    asked: Sequence[OfferingContext],
    rows: Matrix,
    in_range: Sequence[bool],
) -> Scores:
    """Give every offering its score, or say that it has none.

    Args:
        contexts: every offering of the cluster.
        asked: those of them that the model was asked about.
        rows: `float32[n_asked, 2]`: capacity and runtime score; NaN where the model abstains.
        in_range: which rows lie where the model was made for.
    """
    scored = {
        c.offering: model_score(c, row, in_range=known)
        for c, row, known in zip(asked, rows, in_range, strict=True)
    }
    return {c.offering: scored.get(c.offering) or unscored(c, in_scope=False) for c in contexts}


def remembered_scores(
    contexts: Sequence[OfferingContext], scope: Scope, fallback: Fallback = Fallback.NONE
) -> Scores:
    """Score every offering in scope by the interruption memory, which decides or stands in."""
    return {
        c.offering: remembered_score(c, fallback)
        if scope.covers(c.offering.instance_type)
        else unscored(c, in_scope=False)
        for c in contexts
    }


def no_scores(contexts: Sequence[OfferingContext], asked: Sequence[OfferingContext]) -> Scores:
    """Say of every offering that it has no score, since the model could not be run."""
    in_scope = {context.offering for context in asked}
    return {c.offering: unscored(c, in_scope=c.offering in in_scope) for c in contexts}


def model_score(context: OfferingContext, row: Matrix, *, in_range: bool) -> OfferingScore:
    """Build a score from the model's row, `float32[2]`; the memory answers where it abstains."""
    if not (math.isfinite(row[0]) and math.isfinite(row[1])):
        return remembered_score(context, Fallback.ABSTAINED)
    return OfferingScore(
        offering=context.offering,
        capacity_score=float(row[0]),
        runtime_score=float(row[1]),
        in_scope=True,
        n_history=len(context.quote.history_usd_per_hour),
        in_range=in_range,
    )


def unscored(context: OfferingContext, *, in_scope: bool) -> OfferingScore:
    """Build the entry of an offering without a score, which nothing moves on."""
    return OfferingScore(
        offering=context.offering,
        capacity_score=None,
        runtime_score=None,
        in_scope=in_scope,
        n_history=len(context.quote.history_usd_per_hour),
    )
