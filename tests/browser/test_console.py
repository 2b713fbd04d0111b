"""The console in a real browser: quick, renewed by itself, usable by keyboard, in both schemes."""

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from spotvortex.core.decision.messages import Plan, Verdict
from spotvortex.core.domain.types import Mode, Outcome
from spotvortex.core.record.record import DecisionRecord, record_of
from spotvortex.report.console.doctor import DoctorRound
from spotvortex.report.console.frame import RENEW_S
from spotvortex.report.console.site import Console
from spotvortex.server.serve import serve
from spotvortex.server.views import PageSources
from spotvortex.telemetry.metrics import Metrics
from spotvortex.telemetry.trends import MAX_POINTS, Trends
from tests.browser import axe
from tests.browser.chromium import browser
from tests.core.builders import pool
from tests.core.ledger.looks import Book, web
from tests.telemetry.books import book_of
from tests.telemetry.decisions import AT, decision, large_input, plan

pytestmark = pytest.mark.program

N_POOLS = 200
N_RECORDS = 10_000
FIRST_PAINT_S = 1.0
WIDE, PHONE = (1280, 900), (390, 844)
LEDGER = Book().steady(web(), pool("api"), hours=30.0, step_s=300.0).ledger

VERDICTS = decision().verdicts
REFUSED = Verdict(
    gate="pool_safety",
    outcome=Outcome.REFUSE,
    reason="the loss of c5.2xlarge/us-east-1a leaves batch/Deployment/etl-worker 3 short",
    numbers=(("spare_pods", -3.0), ("n_workloads", 5.0)),
)


@dataclass
class Daemon:
    """A large cluster, whose plan a test changes."""

    plan: Plan
    records: list[DecisionRecord]

    def failing(self) -> list[str]:
        return []

    def reasons(self, now: float) -> list[str]:
        assert now == AT
        return []

    def last_plan(self) -> Plan | None:
        return self.plan

    def now(self) -> float:
        return AT

    def get(self, decision_id):
        return next((r for r in self.records if r.decision_id == decision_id), None)

    def find(self, *, pool, action, since, limit):
        assert since is None
        found = (r for r in self.records if pool in (None, r.pool) and action in (None, r.action))
        return tuple(r for r, _ in zip(found, range(limit), strict=False))


def names(n: int) -> list[str]:
    return [f"team-{i:03}-workers" for i in range(n)]


PAGES = (
    "",
    f"/pools/{names(1)[0]}",
    "/decisions",
    f"/decisions/7-{names(1)[0]}",
    "/waves",
    "/ledger",
    "/doctor",
)


@asynccontextmanager
async def console(n_pools: int = 3, n_records: int = 30, n_cycles: int = 2):
    """Serve a console of so many pools and records, after so many cycles."""
    made = [
        decision(input=large_input(pool=name), verdicts=(REFUSED, *VERDICTS))
        for name in names(n_pools)
    ]
    one = record_of(made[0], "", "0")
    records = [
        replace(one, decision_id=f"{i}-{made[0].pool}", pool=made[i % n_pools].pool, at=AT - i)
        for i in range(n_records)
    ]
    daemon, trends = Daemon(plan(*made), records), Trends()
    for cycle in range(n_cycles):
        at = AT - 30.0 * (n_cycles - cycle)
        trends.planned(plan(*(made if cycle == n_cycles - 1 else made[:1]), at=at))
    views = PageSources(
        health=daemon,
        readiness=daemon,
        metrics=Metrics(version="0", mode=Mode.SHADOW),
        decisions=daemon,
        plans=daemon,
        clock=daemon,
        ledger=book_of(ledger=LEDGER),
    )
    doctor = DoctorRound(standings_on=lambda _: (), name="test")
    views = replace(views, console=Console(views=views, trends=trends, doctor=doctor))
    async with serve("127.0.0.1", 0, views) as port:
        yield daemon, f"http://127.0.0.1:{port}"


@pytest.fixture
async def page(tmp_path):
    async with browser(tmp_path) as made:
        yield made


async def test_every_page_of_a_large_cluster_is_painted_within_a_second(page, tmp_path):
    async with console(N_POOLS, N_RECORDS, MAX_POINTS) as (_, root):
        await page.open(f"{root}/console")
        await page.look_as("light", *WIDE)
        for path in PAGES:
            await page.open(f"{root}/console{path}")
            assert await page.first_paint_s() < FIRST_PAINT_S, path
            assert await page.value_of("document.querySelectorAll('h1').length") == 1
            await page.picture(tmp_path / "page.png")
            assert (tmp_path / "page.png").stat().st_size > 10_000
        assert page.said == []


async def test_an_open_page_renews_itself_and_says_when_nobody_answers(page):
    async with console() as (daemon, root):
        await page.open(f"{root}/console")
        rows = "document.querySelectorAll('table tbody tr').length"
        assert await page.value_of(rows) == 3
        await page.value_of("document.querySelector('main a').focus()")
        daemon.plan = plan(decision(pool=names(1)[0]))
        await page.wait_for(f"{rows} === 1", RENEW_S + 10)
        assert await page.value_of("document.activeElement.textContent") == names(1)[0]
    await page.wait_for("document.getElementById('stale').textContent !== ''", RENEW_S + 10)
    assert "has not answered since" in await page.value_of(
        "document.getElementById('stale').textContent"
    )


async def test_all_can_be_reached_by_the_keyboard(page):
    async with console() as (_, root):
        await page.open(f"{root}/console")
        focused = []
        for _ in range(12):
            await page.press("Tab")
            focused.append(await page.value_of("document.activeElement.getAttribute('href')"))
        assert "/console/decisions" in focused
        assert f"/console/pools/{names(1)[0]}" in focused


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE])
async def test_words_are_legible_in_both_schemes_and_nothing_runs_out_of_the_screen(
    page, scheme, size
):
    async with console() as (_, root):
        await page.open(f"{root}/console")
        await page.look_as(scheme, *size)
        for path in PAGES:
            await page.open(f"{root}/console{path}")
            wide = await page.value_of("document.documentElement.scrollWidth")
            assert wide <= size[0], path
            assert await page.value_of(CONTRAST) >= 4.5, path


async def test_on_a_phone_drawings_are_legible_and_every_reason_is_seen_without_scrolling(page):
    async with console() as (_, root):
        await page.open(f"{root}/console")
        await page.look_as("light", *PHONE)
        for path in ("", PAGES[1], "/decisions"):
            await page.open(f"{root}/console{path}")
            assert await page.value_of(SMALLEST_OF_DRAWINGS) >= 9.0, path
            right, highest = await page.value_of(STACKED)
            assert right <= PHONE[0], path
            assert highest <= 300.0, path
        await page.open(f"{root}/console{PAGES[1]}")
        assert await page.value_of(STACKED) > [0.0, 0.0]


async def test_on_a_wide_screen_no_name_or_moment_is_broken(page):
    async with console() as (_, root):
        await page.open(f"{root}/console")
        await page.look_as("light", *WIDE)
        for path in ("", "/decisions"):
            await page.open(f"{root}/console{path}")
            assert await page.value_of(LINES_OF_SHORT) == 1, path


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_no_fault_of_accessibility(page, scheme):
    async with console() as (_, root):
        await page.open(f"{root}/console")
        await page.look_as(scheme, *WIDE)
        for path in PAGES:
            await page.open(f"{root}/console{path}")
            await page.value_of(axe.script() + "; true")
            found = await page.value_of(
                "axe.run().then(r => r.violations.map(v => "
                "v.id + ': ' + v.nodes.map(n => n.html).slice(0, 3).join(' | ')))"
            )
            assert found == [], path


CONTRAST = """
(() => {
  const light = text => {
    const [r, g, b] = text.match(/[0-9.]+/g).map(Number).map(v => {
      const c = v / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = light(getComputedStyle(document.body).backgroundColor);
  const worst = [...document.querySelectorAll("main :not(title):not(desc)")]
    .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))
    .map(e => light(getComputedStyle(e)[e instanceof SVGElement ? "fill" : "color"]))
    .map(ink => (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05));
  return Math.min(...worst);
})()
"""
"""The lowest contrast of text on the page, as WCAG 2.2 defines it (1.4.3 wants 4.5).

Source: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio.
"""

SMALLEST_OF_DRAWINGS = """
Math.min(99, ...[...document.querySelectorAll("svg text")]
  .map(e => e.getBoundingClientRect().height))
"""
"""Height in points of the smallest line of text within a drawing; 99 without one."""

STACKED = """
(() => {
  const rows = [...document.querySelectorAll("table.stacks tbody tr")];
  const cells = rows.flatMap(row => [...row.children]);
  return [
    Math.max(0, ...cells.map(e => e.getBoundingClientRect().right)),
    Math.max(0, ...rows.map(e => e.getBoundingClientRect().height)),
  ];
})()
"""
"""How far to the right a table with reasons goes, and how high its highest row is, in points."""

LINES_OF_SHORT = """
Math.max(...[...document.querySelectorAll("th.short, td.short")].map(e => {
  const range = document.createRange();
  range.selectNodeContents(e);
  return new Set([...range.getClientRects()].map(r => Math.round(r.bottom / 8))).size;
}))
"""
"""Over how many lines a name or a moment is broken at most."""
