"""Each page of the console shows what was decided, escapes it, and loads nothing from elsewhere."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import pytest

from spotvortex.core.decision.messages import Plan
from spotvortex.core.domain.labels import PodKind
from spotvortex.core.domain.observation import OwnPod, WriteAuthority
from spotvortex.core.domain.types import Action, CapacityType, Freeze, Mode
from spotvortex.core.drain.messages import DrainOrder, OrderKind
from spotvortex.core.ledger.ledger import Beside
from spotvortex.report.console.decisions import MAX_ROWS
from spotvortex.report.console.doctor import EVERY_S, MAX_NODES, DoctorRound
from spotvortex.report.console.frame import SCRIPT
from spotvortex.report.console.overview import MAX_IN_FLIGHT
from spotvortex.report.console.site import Console
from spotvortex.report.console.waves import MAX_WAVES
from spotvortex.results.course import CoursePoint
from spotvortex.server.views import PageSources
from spotvortex.telemetry.journal import DecisionJournal
from spotvortex.telemetry.metrics import Metrics
from spotvortex.telemetry.trends import Trends
from tests.core.builders import market, on_demand, plan_of, stated
from tests.core.ledger.looks import START, Book, look, web
from tests.report.pages import Loading, cells, parsed
from tests.telemetry.books import book_of
from tests.telemetry.decisions import (
    AT,
    decision,
    largest_growth,
    largest_refusal,
    plan,
    pool_input,
)

ODD = "<script>alert('x')</script>"


@dataclass
class Daemon:
    """What the console looks at, to be changed by a test."""

    late: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    plan: Plan | None = None

    def failing(self) -> list[str]:
        return self.late

    def reasons(self, now: float) -> list[str]:
        assert now == AT
        return self.missing

    def last_plan(self) -> Plan | None:
        return self.plan

    def now(self) -> float:
        return AT


class Stage:
    """A console over plans that a test makes."""

    def __init__(self, courses: Mapping[str, Callable[[], CoursePoint]] | None = None) -> None:
        self.daemon, self.trends, self.book = Daemon(), Trends(courses), book_of()
        self.standings_on = lambda _: ()
        metrics = Metrics(version="0", mode=Mode.SHADOW)
        self.journal = DecisionJournal(code_version="0", counts=metrics)
        views = PageSources(
            health=self.daemon,
            readiness=self.daemon,
            metrics=metrics,
            decisions=self.journal,
            plans=self.daemon,
            clock=self.daemon,
            ledger=self.book,
        )
        doctor = DoctorRound(standings_on=self.standings_on, name="test")
        self.console = Console(views=views, trends=self.trends, doctor=doctor)

    async def planned(self, made: Plan) -> None:
        self.daemon.plan = made
        self.trends.planned(made)
        await self.journal.append(made)

    def page(self, path: str = "", **query: str) -> str:
        asked = self.console.answer(path, query)
        assert (asked.status, asked.content_type) == (200, "text/html"), asked.body
        return asked.body


@pytest.fixture
def stage():
    return Stage()


def words(page: str) -> str:
    return " ".join("".join(parsed(page).itertext()).split())


def assert_stands_alone(page: str) -> None:
    """Only the console's own style and script are loaded, and nothing is inline."""
    loading = Loading()
    loading.feed(page)
    addresses = [value for name, value in (f for f in loading.found if isinstance(f, tuple))]
    assert all(address.startswith("/console") for address in addresses), addresses
    tags = [found for found in loading.found if isinstance(found, str)]
    assert set(tags) <= {"link", "script", "form"}
    assert tags.count("script") == 1
    assert "<style" not in page


def assert_accessible(page: str) -> None:
    root = parsed(page)
    assert root.get("lang") == "en"
    assert len(list(root.iter("h1"))) == 1
    idents = [e.get("id") for e in root.iter() if e.get("id")]
    assert len(idents) == len(set(idents))
    assert all(t.findtext("caption") for t in root.iter("table"))
    assert all(th.get("scope") for th in root.iter("th"))
    assert all(s.findtext("title") and s.findtext("desc") for s in root.iter("svg"))
    assert all(m.get("aria-label") for m in root.iter("meter"))


async def test_before_the_first_plan_the_page_says_what_is_awaited(stage):
    stage.daemon.missing = ["pods not listed yet"]
    assert "Nothing is decided yet: pods not listed yet." in words(stage.page())


async def test_the_overview_shows_each_pool_with_its_money_and_what_stops_it(stage):
    await stage.planned(plan(decision(pool="jobs"), decision(pool="web")))
    rows = cells(stage.page(), "Every pool, by its newest decision")
    assert [row[0] for row in rows] == ["pool", "jobs", "web"]
    found = dict(zip(rows[0], rows[1], strict=True))
    assert (found["Spot"], found["others"], found["target"]) == ("12", "8", "60%")
    assert found["because"].startswith("INCREASE_10 refused by pool safety: losing zone")


async def test_what_needs_a_person_is_named_with_the_pool(stage):
    stage.daemon.late = ["collector: silent for 90 s, limit 60 s"]
    await stage.planned(plan(decision(input=pool_input(bad_inputs=("nodes",)))))
    frozen = replace(stage.daemon.plan.observation, standing=WriteAuthority(freeze=Freeze.SOFT))
    stage.daemon.plan = replace(stage.daemon.plan, observation=frozen)
    page = words(stage.page())
    assert "collector: silent for 90 s, limit 60 s" in page
    assert "SpotVortex is frozen (soft)" in page
    assert "web: nodes missing or stale, so it holds." in page
    assert "web: one loss of Spot would take too much of 12 workloads." in page


async def test_a_replica_that_stands_by_says_so(stage):
    await stage.planned(plan(decision(mode=Mode.ACTIVE)))
    assert "This replica stands by and moves nothing" in words(stage.page())
    leads = replace(stage.daemon.plan.observation, standing=WriteAuthority(leader=True))
    stage.daemon.plan = replace(stage.daemon.plan, observation=leads)
    assert "stands by" not in words(stage.page())


async def test_where_nothing_needs_a_person_the_page_says_so(stage):
    safe = replace(pool_input().safety, n_breaking=0)
    await stage.planned(plan(decision(input=pool_input(safety=safe))))
    assert "Nothing does." in words(stage.page())


@pytest.mark.parametrize(("n", "words_of"), [(1, ": 1 pod to spare."), (2, ": 2 pods to spare.")])
async def test_one_pod_to_spare_is_one(stage, n, words_of):
    safe = replace(pool_input().safety, least_pods=n)
    await stage.planned(plan(decision(input=pool_input(safety=safe))))
    assert words_of in words(stage.page("pools/web"))


async def test_nodes_under_way_are_listed_up_to_a_bound(stage):
    def order(i):
        return DrainOrder(
            plan_id="1-web",
            pool="web",
            node=f"node-{i}",
            uid=f"uid-{i}",
            claim="",
            sides=(),
            to=CapacityType.SPOT,
            reason="economic_increase",
            deadline=AT + 600,
        )

    made = plan(decision())
    await stage.planned(replace(made, orders=tuple(order(i) for i in range(MAX_IN_FLIGHT + 7))))
    page = stage.page()
    assert len(cells(page, "Nodes being moved")) == 1 + MAX_IN_FLIGHT
    assert "and 7 more" in words(page)


async def test_a_simulated_cluster_is_shown_beside_its_twin():
    def fared(usd):
        return CoursePoint(
            at=AT, usd=usd, usd_per_hour=2.5, spot_ratio=0.4, n_lost=7, missing_pod_minutes=1234.5
        )

    stage = Stage({"SpotVortex": lambda: fared(10.0), "Karpenter alone": lambda: fared(12.0)})
    for cycle in (1, 2):
        await stage.planned(plan(decision(cycle=cycle)))
    page = stage.page()
    assert cells(page, "Since the start")[1:] == [
        ["SpotVortex", "$10.00", "$2.50/h", "40%", "7", "1,234"],
        ["Karpenter alone", "$12.00", "$2.50/h", "40%", "7", "1,234"],
    ]
    assert "Pods that were missing, side by side" in words(page)
    assert_accessible(page)


async def test_lines_are_drawn_from_the_second_cycle_on(stage):
    await stage.planned(plan(decision(cycle=1)))
    assert "<svg" not in stage.page()
    await stage.planned(plan(decision(cycle=2, at=AT + 30), at=AT + 30))
    for page in (stage.page(), stage.page("pools/web")):
        assert [t.text for t in parsed(page).iter("title") if t.get("id")] == [
            "Cost over time",
            "Spot share over time",
        ]


async def test_a_pool_has_its_offerings_its_gates_and_its_worst_loss(stage):
    await stage.planned(plan(decision()))
    page = stage.page("pools/web")
    offerings = cells(page, "Nodes, prices and scores by offering")
    assert offerings[1][:4] == ["m6i.2xlarge/eu-central-1a", "24", "7", "$0.1374/h"]
    gates = cells(page, "What every gate says")
    assert [row[1] for row in gates[1:]] == ["allow", "refuse", "not-evaluated"]
    assert "shop/Deployment/checkout-api is hit most, by the loss of" in words(page)


async def test_decisions_are_listed_and_filtered(stage):
    for cycle in (1, 2):
        made = decision(cycle=cycle, at=AT + cycle, n_nodes=1)
        other = decision(cycle=cycle, at=AT + cycle, pool="jobs", action=Action.DECREASE_10)
        await stage.planned(plan(made, other, at=AT + cycle))
    caption = "Decisions, newest first"
    assert len(cells(stage.page("decisions"), caption)) == 1 + 3
    rows = cells(stage.page("decisions", pool="web", action=""), caption)[1:]
    assert [row[1] for row in rows] == ["web", "web"]
    assert rows[0][4] == "\N{MIDDLE DOT}\N{MULTIPLICATION X}?"
    rows = cells(stage.page("decisions", action="DECREASE_10"), caption)[1:]
    assert [row[1] for row in rows] == ["jobs"]
    assert "No decision that is kept" in words(stage.page("decisions", pool="nowhere"))
    asked = stage.console.answer("decisions", {"action": "LEAP"})
    assert asked.status == 400
    assert "There is no action LEAP; there are HOLD" in words(asked.body)


async def test_one_decision_says_what_has_changed_since_the_one_before(stage):
    for made in (decision(cycle=1), decision(cycle=2, at=AT + 60, n_nodes=1)):
        await stage.planned(plan(made, at=made.at))
    first, second = stage.page("decisions/1-web"), stage.page("decisions/2-web")
    assert "No decision before it is kept." in words(first)
    assert "Nothing that is shown here has changed." in words(second)
    assert len(cells(second, "Nodes of the wave")) == 2


async def test_what_an_offering_costs_is_set_beside_the_same_offering_of_before(stage):
    whole = pool_input(n_offerings=3)
    known = tuple(replace(found, held_hours=2.0) for found in whole.offerings)
    wide, narrow = replace(whole, offerings=known), replace(whole, offerings=known[:1])
    for cycle, data in ((1, narrow), (2, wide), (3, narrow)):
        at = AT + 60.0 * cycle
        made = decision(cycle=cycle, input=replace(data, at=at), at=at, n_nodes=1)
        await stage.planned(plan(made, at=at))
    changes = [
        [
            row[1:]
            for row in cells(stage.page(f"decisions/{cycle}-web"), "What has changed")
            if row[0] == "expected cost"
        ]
        for cycle in (2, 3)
    ]
    grown, shrunk = changes
    came = [now for was, now in grown if not was]
    assert len(came) >= 2, "offerings that came had no cost"
    assert all(then.split(":")[0] == now.split(":")[0] for then, now in grown if then and now)
    assert sorted(shrunk) == sorted([then, now] for now, then in grown), "one that went has none"


@pytest.mark.parametrize("path", ["nowhere", "pools/nowhere", "pools/", "decisions/9-x", "style"])
async def test_what_is_not_there_is_a_page_that_says_so(stage, path):
    await stage.planned(plan(decision()))
    asked = stage.console.answer(path, {})
    assert asked.status == 404
    assert_stands_alone(asked.body)
    assert "To the overview" in words(asked.body)


async def test_no_page_runs_what_a_name_says(stage):
    made = decision(input=pool_input(pool=ODD, unsupported=(ODD,)), reason=ODD, action=Action.HOLD)
    await stage.planned(plan(made))
    stage.daemon.missing = [ODD]
    for path, query in (
        ("", {}),
        (f"pools/{ODD}", {}),
        ("decisions", {"pool": ODD}),
        (f"decisions/7-{ODD}", {}),
        (ODD, {}),
    ):
        body = stage.console.answer(path, query).body
        assert ODD not in body
        assert_stands_alone(body)
        parsed(body)


async def test_the_largest_decisions_can_be_shown(stage):
    for made in (largest_growth(), largest_refusal()):
        await stage.planned(plan(made))
        for path in ("", f"pools/{made.pool}", "decisions", f"decisions/{made.decision_id}"):
            page = stage.page(path)
            assert_stands_alone(page)
            assert_accessible(page)


async def test_a_list_is_never_longer_than_its_bound(stage):
    for cycle in range(MAX_ROWS + 5):
        await stage.planned(plan(decision(cycle=cycle + 1, at=AT + cycle, n_nodes=1)))
    assert len(cells(stage.page("decisions"), "Decisions, newest first")) == 1 + MAX_ROWS


async def test_the_ledger_has_its_range_its_gaps_and_a_row_a_pool(stage):
    assert "Nothing is accounted for yet" in words(stage.page("ledger"))
    stage.book.ledger = Book().steady(web(), hours=2.0).take(look(START + 5 * 3600.0, web())).ledger
    page = stage.page("ledger")
    assert "saved -$0.12 .. $0.28 beside all on-demand: list prices" in words(page)
    assert cells(page, "Since the ledger was begun")[1][:5] == [
        "web",
        "20.0",
        "4.0",
        "$1.72",
        "$0.28",
    ]
    hours = cells(page, "By the hour, newest first")
    assert hours[1][:3] == ["2026-07-14 08:00 hour", "0.00 h", "1.00 h"]
    assert "Cost by the hour" in words(page)
    assert_stands_alone(page)
    assert_accessible(page)


async def test_the_overview_tells_what_was_saved_and_would_have_been(stage):
    await stage.planned(plan(decision()))
    assert "Saved so far" not in words(stage.page())
    stage.book.ledger = Book().steady(web()).ledger
    page = words(stage.page())
    assert "Saved so far$0.14since 2026-07-14 04:00 UTC, at list price; -$0.06 if" in page
    assert "At the allowed target$0.14" in page


async def test_stated_commitments_are_no_range_and_the_twin_is_told_beside(stage):
    paid = market(commitments=stated(plan_of(usd_per_hour=10 * 0.075)))
    book = Book().take(look(START, web(), market=paid))
    book.take(look(START + 36.0, web(), market=paid), Beside(alone_usd=1.0))
    stage.book.ledger = book.ledger
    page = words(stage.page("ledger"))
    assert "Saved so far$-0.00" not in page
    assert "beyond the commitments stated" in page
    assert re.search(r"Beside Karpenter alone\$\d\.\d\d (less|more)it cost \$1\.00", page)


async def test_the_doctor_says_what_blocks_drains_and_looks_again_after_a_while(stage):
    assert "no cluster to look at yet" in words(stage.page("doctor"))
    await stage.planned(plan(decision()))
    assert "Nothing blocks a drain." in words(stage.page("doctor"))
    held = web(nodes=(on_demand("held", do_not_disrupt=True),))
    for at, n_rows in ((AT + 60.0, 0), (AT + EVERY_S, 2)):
        made = plan(decision(at=at), at=at)
        cluster = replace(made.observation.cluster, pools=(held,))
        observed = replace(made.observation, cluster=cluster)
        await stage.planned(replace(made, observation=observed))
        page = stage.page("doctor")
        assert ("Holds nodes in place" in words(page)) == bool(n_rows)
    rows = cells(page, "Holds nodes in place")
    assert rows[1][:3] == ["Node/held", "do not disrupt node", "1"]
    assert_stands_alone(page)
    assert_accessible(page)


def order_of(name, mode=Mode.ACTIVE, **changes):
    values = {
        "plan_id": "7-web",
        "pool": "web",
        "node": name,
        "uid": f"uid-{name}",
        "claim": "",
        "sides": (),
        "to": CapacityType.SPOT,
        "reason": "economic_increase",
        "deadline": AT + 600,
        "mode": mode,
    }
    return DrainOrder(**(values | changes))


def room_for(name, node="", **changes):
    return OwnPod(
        name=f"room-{name}-{node}",
        kind=PodKind.PLACEHOLDER,
        plan_id="7-web",
        for_uid=f"uid-{name}",
        node=node,
        ends_at=AT + 900,
        **changes,
    )


async def test_a_wave_says_of_each_node_how_far_it_is(stage):
    assert "Nothing is decided yet." in words(stage.page("waves"))
    await stage.planned(plan(decision()))
    assert "No wave is under way." in words(stage.page("waves"))
    nodes = (
        on_demand("waits"),
        on_demand("emptied", mark="{}"),
        on_demand("leaves", moving=True),
        on_demand("shadowed"),
    )
    room = (
        room_for("waits", "n9"),
        room_for("waits", pending_reason="0/9 nodes are available"),
        room_for("emptied", "n9"),
    )
    made = plan(decision())
    cluster = replace(made.observation.cluster, pools=(web(nodes=nodes),), own_pods=room)
    orders = [order_of(n) for n in ("waits", "emptied", "leaves", "gone")]
    orders.append(order_of("shadowed", Mode.SHADOW))
    observed = replace(made.observation, cluster=cluster)
    await stage.planned(replace(made, observation=observed, orders=tuple(orders)))
    page = stage.page("waves")
    assert cells(page, "Wave 7-web")[1:] == [
        ["waits", "waits for room: 0/9 nodes are available", "1 of 2", "3"],
        ["emptied", "being emptied", "1 of 1", "3"],
        ["leaves", "leaving: its provisioner removes it", "-", "3"],
        ["gone", "gone", "-", "-"],
        ["shadowed", "recorded alone: this mode moves nothing", "-", "3"],
    ]
    assert "web: 5 nodes to spot" in words(page)
    assert_stands_alone(page)
    assert_accessible(page)


async def test_waves_are_shown_up_to_a_bound(stage):
    made = plan(decision())
    orders = tuple(order_of("n", plan_id=f"{i}-web") for i in range(MAX_WAVES + 3))
    await stage.planned(replace(made, orders=orders))
    assert "and 3 more" in words(stage.page("waves"))
    lost = order_of("n", plan_id="i-web", kind=OrderKind.INTERRUPTION)
    await stage.planned(replace(made, orders=(lost,)))
    assert "The decision" not in words(stage.page("waves"))


async def test_a_large_cluster_is_left_to_the_command(stage):
    made = plan(decision())
    many = web(n_spot=MAX_NODES + 1, n_on_demand=0)
    cluster = replace(made.observation.cluster, pools=(many,))
    await stage.planned(replace(made, observation=replace(made.observation, cluster=cluster)))
    assert "run spotvortex doctor" in words(stage.page("doctor"))


def test_style_and_script_are_files_of_their_own(stage):
    style, script = (stage.console.answer(path, {}) for path in ("style.css", "live.js"))
    assert (style.content_type, script.content_type) == ("text/css", "text/javascript")
    assert "prefers-color-scheme: dark" in style.body
    assert script.body == SCRIPT
    assert json.dumps("//") not in script.body
