"""The gate of protocol 2: each condition, by runs whose figures are known."""

import pytest

from spotvortex.evaluation.matrix import bound
from spotvortex.evaluation.matrix.judge import JUDGED, REPORTED, JudgedPolicy, judge
from spotvortex.results.matrix import CellCondition
from spotvortex.results.verdict import GateStatus
from tests.evaluation.matrix.small import OF, chosen_for, extent_of, run_of, specs_of

FAMILIES = ("calm", "stressed")
OURS = "spotvortex"


def matrix(ours, rival=(60.0, 0.0), *, o1=20.0, seeds=(0, 1), mixes=("bursty",)):
    """Judge runs that cost so much a day and have so many outage minutes."""
    extent, chosen = extent_of(seeds=seeds, mixes=mixes), chosen_for(FAMILIES)

    def cost(spec):
        if spec.policy == bound.O1:
            return run_of(spec, o1)
        usd, minutes = ours if spec.policy == OURS else rival
        part = 1.0 / 3.0 if spec.pool else 1.0
        usd, minutes = (100.0, 0.0) if spec.policy == "OD" else (usd, minutes)
        more = {"outage_minutes": minutes * part, "demanded_od_usd": 100.0 * part}
        return run_of(spec, usd * part, **more)

    runs = [cost(spec) for spec in specs_of(extent, chosen).values()]
    return judge(runs, OF, JudgedPolicy(policy=OURS, extent=extent, chosen=chosen))


def cell(found, rival="K-under", family="stressed", commitment="none"):
    named = ((c.family, c.commitment, c.rival) == (family, commitment, rival) for c in found.cells)
    return next(c for c, is_it in zip(found.cells, named, strict=True) if is_it)


def answers(of_cell):
    return {answer.condition: answer.passes for answer in of_cell.answers}


def test_there_is_a_cell_for_each_family_commitment_and_rival():
    found = matrix((50.0, 0.0))
    assert len(found.cells) == 2 * 2 * (len(JUDGED) + len(REPORTED))
    assert {c.rival for c in found.judged} == {"K-under", "K-empty", "CA", "STATIC"}
    assert not cell(found, "SpotHedge").answers


def test_points_are_asked_in_every_cell():
    assert answers(cell(matrix((60.05, 0.0))))[CellCondition.POINTS]
    assert not answers(cell(matrix((60.2, 0.0))))[CellCondition.POINTS]


def test_net_profit_is_asked_where_there_is_headroom():
    assert CellCondition.PROFIT not in answers(cell(matrix((60.0, 0.0), o1=58.0)))
    assert not answers(cell(matrix((59.0, 0.0))))[CellCondition.PROFIT]
    found = matrix((57.0, 0.0), seeds=(0, 1, 2, 3, 4, 5))
    assert answers(cell(found))[CellCondition.PROFIT]
    assert cell(found).improvement_pct.spread.median == pytest.approx(100.0 * 3.0 / 90.0)
    assert cell(found).headroom_pct == pytest.approx(100.0 * 40.0 / 90.0)
    assert cell(found).regret_closed_ratio == pytest.approx(3.0 / 40.0)


def test_where_the_rival_earns_nothing_points_decide():
    found = cell(matrix((144.5, 0.0), rival=(145.0, 0.0)))
    assert found.n_void == 2
    assert found.improvement_pct is None
    assert answers(found) == {
        CellCondition.POINTS: True,
        CellCondition.VOID_POINTS: False,
        CellCondition.NO_MORE_OUTAGE: True,
    }


def test_outage_minutes_are_never_more_and_half_where_the_family_asks():
    found = matrix((60.0, 3.0), rival=(60.0, 5.0))
    assert answers(cell(found))[CellCondition.NO_MORE_OUTAGE]
    assert not answers(cell(found))[CellCondition.HALF_THE_OUTAGE]
    assert CellCondition.HALF_THE_OUTAGE not in answers(cell(found, family="calm"))
    assert answers(cell(matrix((60.0, 2.5), rival=(60.0, 5.0))))[CellCondition.HALF_THE_OUTAGE]
    more = matrix((60.0, 5.5), rival=(60.0, 5.0))
    assert not answers(cell(more))[CellCondition.NO_MORE_OUTAGE]


def test_static_is_asked_about_no_outage():
    found = cell(matrix((60.0, 9.0), rival=(60.0, 5.0)), "STATIC")
    assert CellCondition.NO_MORE_OUTAGE not in answers(found)


def test_a_rival_without_outage_gives_no_power():
    found = cell(matrix((60.0, 0.0)))
    assert CellCondition.HALF_THE_OUTAGE not in answers(found)
    assert "no power" in next(a.words for a in found.answers if "outage" in a.condition)


def test_figures_by_seed_are_of_all_its_worlds_against_the_first_rival():
    found = matrix((57.0, 1.0), rival=(60.0, 5.0), mixes=("diurnal", "bursty"))
    assert [s.seed for s in found.seeds] == [0, 1]
    n_worlds = 2 * 2 * 2  # mixes, families, commitments
    assert {s.outage_delta_minutes for s in found.seeds} == {-4.0 * 7 * n_worlds}
    assert found.net_profit_improvement_pct > 2.0


def test_fewer_worlds_than_the_protocol_asks_for_are_no_pass():
    found = matrix((40.0, 0.0), rival=(60.0, 5.0), seeds=(0, 1, 2, 3, 4, 5))
    assert cell(found).standing is GateStatus.INCOMPLETE
    assert found.missing == ("normal", "regional", "replay")
    assert found.standing is not GateStatus.PASS


def test_the_same_runs_give_the_same_matrix():
    assert matrix((57.0, 1.0)) == matrix((57.0, 1.0))
