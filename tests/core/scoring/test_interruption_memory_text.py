"""The interruption memory as text: read back as it was, or refused with its line."""

from dataclasses import replace

import pytest

from spotvortex.core.domain.types import Predictor
from spotvortex.core.scoring import interruption_memory
from spotvortex.core.scoring.calibration.live import (
    NO_CALIBRATION,
    Calibration,
    CalibrationTally,
    TallyKey,
)
from spotvortex.core.scoring.features import OfferingContext
from spotvortex.core.scoring.interruption_memory import Memory, OfferingMemory, remembered_score
from spotvortex.core.scoring.memory_text import HEADER, MemoryFormatError, from_text, to_text
from tests.core.builders import AT, WEB_A, WEB_B, cluster, market, pool

OLD = HEADER.replace("version 4", "version 1")
ONE = OfferingMemory(losses=1.5, exposure_hours=40.25, last_loss_at=AT, updated_at=AT + 9.0)
NONE_YET = OfferingMemory(losses=0.0, exposure_hours=3.0, last_loss_at=None, updated_at=AT)


def test_every_figure_of_an_offering_is_read_back():
    known = OfferingMemory(
        losses=1.5,
        exposure_hours=2.5,
        loss_shares=0.5,
        shaped_hours=4.5,
        last_loss_at=AT,
        left_survivors=True,
        updated_at=AT + 1.0,
        launches=5.5,
        refusals=6.5,
        last_refused_at=AT + 2.0,
    )
    kept = Memory(offerings={WEB_A: known}, nodes={})
    assert from_text(to_text(kept)).offerings == kept.offerings


def test_a_memory_is_read_back_as_it_was_without_its_nodes():
    kept = Memory(offerings={WEB_B: NONE_YET, WEB_A: ONE}, nodes={})
    assert from_text(to_text(kept)) == kept
    learned = interruption_memory.update(interruption_memory.EMPTY_MEMORY, cluster(pool()), AT)
    assert from_text(to_text(learned)).nodes == {}


def test_what_was_judged_of_predictions_is_kept_with_it_and_version_3_knew_of_none():
    key = TallyKey(Predictor.GRAPH, 1, 60)
    judged = Calibration(tallies={key: CalibrationTally(n=2.0, lost=1.0)}, at=AT, drifted=True)
    kept = Memory(offerings={WEB_A: ONE}, nodes={}, calibration=judged)
    assert from_text(to_text(kept)) == kept
    old = to_text(replace(kept, calibration=NO_CALIBRATION)).replace("version 4", "version 3")
    assert from_text(old).offerings == kept.offerings
    with pytest.raises(MemoryFormatError, match="calibration: no band"):
        from_text(to_text(kept).replace("graph 1 60", "graph 7 60"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: expected"),
        ("another v9", "line 1: expected"),
        (f"{OLD}\na b c", "line 2: 6 cells expected"),
        (f"{OLD}\n\na b 1 2 x 4", "line 3: could not convert"),
        (f"{OLD}\na b 1 - 3 4", "line 2: could not convert"),
        (f"{OLD}\na b -1 2 3 4", "line 2: figures must be finite"),
        (f"{OLD}\na b 1 2 3 inf", "line 2: figures must be finite"),
    ],
)
def test_a_memory_that_cannot_be_read_is_refused_with_its_line(text, words):
    with pytest.raises(MemoryFormatError, match=words):
        from_text(text)


def test_where_the_model_abstains_the_memory_scores():
    context: OfferingContext = interruption_memory.context(
        interruption_memory.EMPTY_MEMORY, WEB_A, market(), AT
    )
    scored = remembered_score(context)
    assert scored.from_memory
    assert 0.0 < scored.capacity_score < scored.runtime_score < 1.0
