"""`spotvortex assess` on a real API server, as a person would run it."""

import csv
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spotvortex.core.domain.types import GateName
from spotvortex.report.assess.readiness import prefer_spot
from tests.controlplane.cluster import ControlPlane
from tests.e2e.conftest import USER
from tests.e2e.equipment import scene
from tests.e2e.equipment.prices import write_price_file
from tests.paths import ROOT

pytestmark = pytest.mark.controlplane


def assess(
    shop: ControlPlane, *arguments: str, user: str = USER, **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SPOTVORTEX_")}
    environment |= {"KUBECONFIG": str(shop.kubeconfig(user)), "COLUMNS": "140", **variables}
    return subprocess.run(
        [sys.executable, "-m", "spotvortex", "assess", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_first_screen_has_totals_first_and_fits(shop: ControlPlane, tmp_path: Path):
    prices = str(write_price_file(tmp_path / "prices.jsonl"))
    done = assess(shop, SPOTVORTEX_PRICE_FILE=prices)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) <= 60
    assert "nodes (" in lines[1]
    for part in (
        "ON-DEMAND YOU MAY NOT NEED",
        "WHAT BREAKS NEXT",
        "SPOTVORTEX WOULD (nothing is done)",
    ):
        assert part in done.stdout
    assert "shop/Deployment/checkout" in done.stdout


def test_json_says_what_cannot_move_and_what_would_break(shop: ControlPlane, tmp_path: Path):
    prices = str(write_price_file(tmp_path / "prices.jsonl"))
    done = assess(shop, "--output", "json", SPOTVORTEX_PRICE_FILE=prices)
    report = json.loads(done.stdout)
    shop = {group["pool"] for group in report["groups"]}
    assert set(scene.POOLS) <= shop
    held = [b for b in report["blocked"] if b["workload"] == "shop/Deployment/ledger"]
    assert held[0]["blocker"] == "single-replica"
    broken = {loss["of"] for loss in report["losses"]}
    assert "shop/Deployment/checkout" in broken
    web = next(o for o in report["on_demand"] if o["pool"] == "web")
    assert web["n_nodes"] == 4
    assert web["saving_usd_per_hour"] > 0
    assert {d["pool"] for d in report["decisions"]} >= set(scene.POOLS)
    assert all(len(d["verdicts"]) == len(GateName) for d in report["decisions"])


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl on PATH")
def test_each_line_that_workloads_prints_is_one_that_the_server_takes(shop: ControlPlane):
    done = assess(shop, "--workloads", "--output", "json")
    rows = {row["workload"]: row for row in json.loads(done.stdout)["readiness"]}
    assert rows["shop/Deployment/ledger"]["readiness"] == "single"
    assert rows["shop/Deployment/checkout"]["readiness"] == "full"
    lines = [line for row in rows.values() for line in row["commands"]]
    assert len(lines) >= 2
    # A pinned workload has the patch; this scene has none, so that it is tried on another.
    lines.append(f"kubectl -n shop patch deployment/front {prefer_spot()}")
    for line in lines:
        verb = [*shlex.split(line), "--dry-run=server"]
        tried = subprocess.run(
            verb,
            env=os.environ | {"KUBECONFIG": str(shop.kubeconfig())},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert tried.returncode == 0, (line, tried.stderr)
    text = assess(shop, "--workloads").stdout
    assert "single  shop/Deployment/ledger · 0 of 1 pods on Spot" in text
    assert rows["shop/Deployment/ledger"]["commands"][0] in text


def test_without_prices_the_table_of_last_resort_is_named(shop: ControlPlane):
    done = assess(shop, "--details")
    assert done.returncode == 0, done.stderr
    assert "prices of last resort" in done.stdout
    assert "saving unknown: no Spot price" in done.stdout
    assert "SPOTVORTEX_PRICE_FILE" in done.stdout


def test_a_user_without_rights_is_told_which(shop: ControlPlane):
    done = assess(shop, user="nobody")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "nodes denied" in line


def test_an_unknown_context_is_told(shop: ControlPlane):
    done = assess(shop, "--context", "no-such")
    assert done.returncode == 2
    assert "no-such" in done.stderr


def test_of_several_contexts_those_that_can_be_read_are_shown(shop: ControlPlane):
    wanted = ("--context", USER, "--context", "nobody", "--context", "reader")
    done = assess(shop, *wanted, "-o", "csv", "-q")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert {row["context"].split()[0] for row in rows} == {USER, "reader"}
    assert {row["pool"] for row in rows} >= set(scene.POOLS)
    assert done.returncode == 2
    assert done.stderr.startswith("spotvortex: nobody: ")
    assert len(done.stderr.splitlines()) == 1


def test_the_assessment_only_reads(shop: ControlPlane):
    before = len(shop.audit_events(USER))
    assert assess(shop).returncode == 0
    events = shop.audit_events(USER)[before:]
    assert events
    assert {event["verb"] for event in events} <= {"get", "list", "watch"}
