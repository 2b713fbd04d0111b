"""Every offering has an entry: the model's answer, the memory's, or none and whose it would be."""

import math

import numpy as np
import pytest

from spotvortex.core.domain.cloud.instance_types import Scope
from spotvortex.core.domain.types import Fallback
from spotvortex.core.scoring.features import OfferingContext
from spotvortex.core.scoring.interruption_memory import remembered_score
from spotvortex.core.scoring.scores import no_scores, remembered_scores, scores_of
from tests.core.builders import WEB_A, WEB_B, quote

A, B = (
    OfferingContext(offering=o, quote=quote(o), hours_since_loss=3.0, hazard_per_hour=0.002)
    for o in (WEB_A, WEB_B)
)


def scored(row, *, in_range=True):
    return scores_of([A, B], [A], np.asarray([row], dtype=np.float32), [in_range])


@pytest.mark.parametrize("in_range", [True, False])
def test_who_was_asked_about_has_the_models_answer_and_all_others_are_out_of_scope(in_range):
    found = scored([0.25, 0.5], in_range=in_range)
    assert (found[WEB_A].capacity_score, found[WEB_A].runtime_score) == (0.25, 0.5)
    assert (found[WEB_A].in_scope, found[WEB_A].in_range) == (True, in_range)
    assert (found[WEB_A].n_history, found[WEB_B].n_history) == (1009, 1009)
    assert (found[WEB_B].capacity_score, found[WEB_B].runtime_score) == (None, None)
    assert not found[WEB_B].in_scope


@pytest.mark.parametrize("row", [[math.nan, 0.5], [0.25, math.nan], [math.inf, 0.5]])
def test_the_memory_answers_where_the_model_abstains(row):
    assert scored(row)[WEB_A] == remembered_score(A, Fallback.ABSTAINED)


def test_where_the_memory_decides_it_is_nobodys_fallback_and_the_scope_still_counts():
    found = remembered_scores([A, B], Scope((WEB_A.instance_type,)))
    assert found[WEB_A] == remembered_score(A)
    assert not found[WEB_A].fallback
    assert remembered_scores([A], Scope(("x9",)))[WEB_A].runtime_score is None


def test_without_a_run_nobody_has_a_score_and_the_scope_is_still_told():
    found = no_scores([A, B], [A])
    assert {s.runtime_score for s in found.values()} == {None}
    assert {o: s.in_scope for o, s in found.items()} == {WEB_A: True, WEB_B: False}
