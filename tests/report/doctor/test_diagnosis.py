"""What the doctor finds: each trouble with its weight, its fix, its share of the cluster."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from spotvortex.core.domain.inputs import InputState
from spotvortex.core.domain.types import Blocker, CapacityType
from spotvortex.core.pool.survival.eviction import ServerAnswer
from spotvortex.errors import SettingsError
from spotvortex.report.doctor.diagnosis import MAX_NAMED, DrainReadiness, diagnose
from spotvortex.report.doctor.dry_run import MAX_ASKED, compared, questions
from spotvortex.report.doctor.screen import render, show
from spotvortex.report.fixes import CURES, Trouble, Weight
from tests.core.builders import (
    AT,
    cluster,
    health,
    node,
    on_demand,
    pdb,
    pool,
    spot,
    standing,
    with_load_blocker,
)
from tests.paths import ROOT

API = pdb(
    desired_healthy=2,
    current_healthy=2,
    expected_pods=3,
    terms="minAvailable 2",
    healthy_by_node=(("n1", 2),),
)


ONE = (spot("n1"),)


def diagnosed(*pods, budgets=(), nodes=ONE, **changes):
    facts = cluster(pool(nodes=nodes, pdbs=budgets), **changes)
    on = {"n1": pods}
    return diagnose(facts, lambda name: on.get(name, ()), AT, "test")


def troubles(found):
    return [finding.trouble for finding in found.findings]


@pytest.mark.parametrize(
    ("blocker", "trouble", "weight"),
    [
        (Blocker.DO_NOT_DISRUPT, Trouble.DO_NOT_DISRUPT, Weight.HOLDS),
        (Blocker.BARE_POD, Trouble.BARE_POD, Weight.HOLDS),
        (Blocker.SINGLE_REPLICA, Trouble.SINGLE_REPLICA, Weight.HOLDS),
        (Blocker.LOCAL_STORAGE, Trouble.LOCAL_STORAGE, Weight.HOLDS),
        (Blocker.VOLUME, Trouble.VOLUME, Weight.LIMITS),
        (Blocker.PINNED_ON_DEMAND, Trouble.PINNED_ON_DEMAND, Weight.LIMITS),
    ],
)
def test_what_a_pod_has_by_itself_is_told_with_its_weight(blocker, trouble, weight):
    (finding,) = diagnosed(standing(blockers=(blocker,))).findings
    assert (finding.trouble, finding.weight) == (trouble, weight)
    assert finding.fix == CURES[trouble].fix
    assert (finding.workload, finding.pods) == ("shop/Deployment/api", ("shop/api-1",))


COVERED = {"budgets": ("shop/api",)}


@pytest.mark.parametrize(
    ("changes", "pod", "trouble"),
    [
        ({"disruptions_allowed": 1}, {}, None),
        ({"disruptions_allowed": 0}, {}, Trouble.PDB_ALLOWS_ZERO),
        ({"disruptions_allowed": 0, "desired_healthy": 3}, {}, Trouble.PDB_NEVER_ALLOWS),
        ({"disruptions_allowed": 0, "desired_healthy": 4}, {}, Trouble.PDB_NEVER_ALLOWS),
        ({"disruptions_allowed": 0, "expected_pods": 0}, {}, Trouble.PDB_UNCOUNTED),
        ({"observed": False}, {}, Trouble.PDB_NOT_OBSERVED),
        (
            {"disruptions_allowed": 0, "current_healthy": 1},
            {"ready": False},
            Trouble.UNREADY_UNDER_PDB,
        ),
        ({"disruptions_allowed": 0}, {"ready": False}, None),
        ({"disruptions_allowed": 0}, {"pending": True}, None),
        ({"disruptions_allowed": 0}, {"terminating": True}, None),
        ({"disruptions_allowed": 0}, {"stays": True}, None),
    ],
)
def test_a_budget_that_never_allows_is_told_from_one_that_does_not_now(changes, pod, trouble):
    found = diagnosed(standing(**COVERED, **pod), budgets=(replace(API, **changes),))
    assert troubles(found) == ([trouble] if trouble else [])
    if trouble is not None:
        assert found.findings[0].pdb == "shop/api"
        assert "minAvailable 2" in found.findings[0].detail


def test_two_budgets_are_both_named():
    two = standing(budgets=("shop/api", "shop/web"))
    other = pdb("web", healthy_by_node=(("n1", 1),))
    (finding,) = diagnosed(two, budgets=(API, other)).findings
    assert (finding.trouble, finding.detail) == (Trouble.TWO_PDBS, "shop/api and shop/web")


@pytest.mark.parametrize(("grace_s", "warned"), [(120.0, False), (121.0, True)])
def test_a_grace_period_longer_than_a_notice_is_a_warning_only(grace_s, warned):
    found = diagnosed(standing(grace_s=grace_s))
    assert troubles(found) == ([Trouble.LONG_GRACE] if warned else [])
    assert [s.n_nodes for s in found.shares if s.place is DrainReadiness.FREE] == [1]


def test_a_mark_on_a_node_is_the_nodes_own_trouble():
    (finding,) = diagnosed(nodes=(spot("n1", do_not_disrupt=True),)).findings
    assert (finding.workload, finding.n_pods) == ("Node/n1", 0)
    assert finding.trouble is Trouble.DO_NOT_DISRUPT_NODE


def test_every_node_is_in_one_place_and_the_shares_add_up():
    nodes = (
        spot("free"),
        with_load_blocker(on_demand("held", allocatable_cpu_milli=6000), "bare-pod"),
        spot("cordoned", cordoned=True),
        spot("down", ready=False),
        spot("leaving", moving=True),
        node("reserved", capacity_type=CapacityType.RESERVED),
    )
    found = diagnosed(nodes=nodes, unpooled=(spot("none", pool=""),))
    shares = {share.place: share for share in found.shares}
    counts = {place: share.n_nodes for place, share in shares.items()}
    assert counts == {"free": 1, "held": 1, "busy": 3, "never-moved": 1, "unpooled": 1}
    assert sum(s.cpu_milli for s in found.shares) == found.cpu_milli == 18_000
    assert shares[DrainReadiness.HELD].cpu_ratio == pytest.approx(1 / 3)
    assert sum(s.nodes_ratio for s in found.shares) == pytest.approx(1.0)


def test_findings_are_grouped_by_workload_heaviest_and_widest_first():
    many = [spot(f"n{i:02}") for i in range(30)]
    facts = cluster(pool(nodes=tuple(many)))
    wide = standing(workload="shop/Deployment/wide", blockers=(Blocker.DO_NOT_DISRUPT,))
    light = standing(workload="shop/Deployment/light", grace_s=900.0)
    narrow = standing(workload="shop/Pod/narrow", blockers=(Blocker.BARE_POD,))

    def on(name):
        here = [replace(wide, name=f"w-{name}"), replace(light, name=f"l-{name}")]
        return [*here, narrow] if name == "n07" else here

    found = diagnose(facts, on, AT, "test")
    assert [(f.workload, f.n_nodes, f.n_pods) for f in found.findings] == [
        ("shop/Deployment/wide", 30, 30),
        ("shop/Pod/narrow", 1, 1),
        ("shop/Deployment/light", 30, 30),
    ]
    assert len(found.findings[0].nodes) == len(found.findings[0].pods) == MAX_NAMED


def shown(found, *, details=False, width=160):
    out = io.StringIO()
    show(found, Console(file=out, width=width, color_system=None), details=details)
    return out.getvalue()


def test_the_screen_shows_what_the_json_says():
    denied = (health(), health("pdbs", state=InputState.DENIED, required=False, detail="grant it"))
    pods = [standing(name=f"p{i}", workload=f"shop/Pod/p{i:02}") for i in range(20)]
    held = [replace(p, blockers=(Blocker.BARE_POD,)) for p in pods]
    found = diagnosed(*held, inputs=denied)
    first, everything = shown(found), shown(found, details=True)
    assert "pdbs denied: grant it" in first
    doubt = "can move, unless a PodDisruptionBudget holds them: those cannot be read"
    assert doubt in shown(diagnosed(inputs=denied))
    assert doubt not in shown(diagnosed())
    assert "… 8 more with --details" in first
    assert "p19" not in first
    assert "shop/Pod/p19: bare-pod (1 node, 1 pod, 2 vCPU)" in everything
    assert "nodes: n1" in everything
    assert "n1  web spot  free: bare-pod" in everything
    document = json.loads(render(found))
    assert len(document["findings"]) == 20
    assert document["findings"][0]["fix"] == CURES[Trouble.BARE_POD].fix
    assert document["missing"][0]["name"] == "pdbs"


REFUSED = ServerAnswer(status=429, causes=("DisruptionBudget",), message="Cannot evict pod")
BUSY = ServerAnswer(status=429, message="too many requests")
EVICTED = ServerAnswer(status=201)


def asked(*answers, node="all", n_pods=None):
    shut = replace(API, disruptions_allowed=0)
    pods = [
        standing(name="a-open"),
        standing(name="b-shut", **COVERED),
        standing(name="daemon", stays=True),
    ]
    if n_pods is not None:
        pods = [standing(name=f"p{i}") for i in range(n_pods)]
    facts = cluster(pool(nodes=(spot("n1"),), pdbs=(shut,)))
    found, n_left = questions(facts, lambda _: pods, node)
    return found, n_left, compared(found, answers) if answers else ()


def test_pods_thought_blocked_are_asked_about_first_and_daemons_never():
    found, n_left, rows = asked(REFUSED, EVICTED)
    assert [q.pod.name for q in found] == ["b-shut", "a-open"]
    assert n_left == 0
    assert [(row.ours, row.server, row.agrees) for row in rows] == [
        (429, 429, True),
        (201, 201, True),
    ]
    assert rows[0].why == "pdb-allows-0 shop/api"


def test_a_busy_server_is_not_taken_for_a_budget():
    _, _, rows = asked(BUSY, REFUSED)
    assert [row.agrees for row in rows] == [False, False]
    found = replace(diagnosed(), asked=rows, n_not_asked=3)
    text = shown(found)
    assert "agrees on 0 of 2 pods" in text
    assert "3 pods not asked about" in text
    assert "expected 201, the server 429, in words: Cannot evict pod" in text
    assert "ok" in shown(replace(found, asked=(replace(rows[0], agrees=True),)), details=True)


def test_the_number_of_questions_is_bounded_and_a_node_must_be_there():
    found, n_left, _ = asked(n_pods=MAX_ASKED + 7, node="n1")
    assert (len(found), n_left) == (MAX_ASKED, 7)
    with pytest.raises(SettingsError, match="no node 'n2'"):
        asked(node="n2")


def test_every_trouble_has_a_cure_and_is_in_the_documents():
    assert set(CURES) == set(Trouble)
    text = (ROOT / "docs" / "doctor.md").read_text()
    assert {t for t in Trouble if f"`{t}`" not in text} == set()
