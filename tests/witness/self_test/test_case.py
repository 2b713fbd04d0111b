"""What counts as done where a writer died before it had its answer."""

import json

import pytest

from tests.witness.judge.case import Case, Rules
from tests.witness.judge.names import DRAIN
from tests.witness.watch import History, NodeState
from tests.witness.writes import Write

JOURNAL = json.dumps({"v": 1, "plan": "plan-1", "kind": "drain", "pool": "web", "uid": "u"})


def node(journal: str) -> NodeState:
    return NodeState(
        uid="u",
        name="n",
        pool="web",
        capacity_type="spot",
        ready=True,
        cordoned=bool(journal),
        labelled=bool(journal),
        journal=journal,
        deleting=False,
        disrupted=False,
    )


def mark(code: int) -> Write:
    return Write(
        at=10.0,
        done_at=10.1,
        writer=("us", "", ""),
        verb="patch",
        resource="nodes",
        namespace="",
        name="n",
        code=code,
        body={"metadata": {"uid": "u", "annotations": {DRAIN: JOURNAL}}},
        answer={},
        selector="",
        event={},
    )


@pytest.mark.parametrize(
    ("code", "later", "n_marks"),
    [(200, JOURNAL, 1), (504, JOURNAL, 1), (504, "", 0), (504, "another", 0), (409, "", 0)],
)
def test_a_mark_counts_when_it_was_answered_or_is_seen_on_its_node(code, later, n_marks):
    history = History()
    history.add("node", "u", 5.0, node(""))
    history.add("node", "u", 10.2, node(later))
    case = Case(writes=[mark(code)], history=history, rules=Rules())
    assert len(case.marks) == n_marks
    assert (case.mark_of("u", 11.0) is not None) is bool(n_marks)
