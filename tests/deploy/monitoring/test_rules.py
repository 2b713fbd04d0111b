"""Every alert fires when it should and is silent when it should be, by Prometheus's own judge."""

import re
import subprocess

import pytest
import yaml

from spotvortex.core.domain.types import Mode
from spotvortex.core.ledger.sums import PoolSums
from spotvortex.telemetry.metrics import Metrics
from tests.debian import find_program
from tests.deploy.manifests import KUSTOMIZE
from tests.paths import ROOT
from tests.prometheus import promtool

pytestmark = pytest.mark.program

RULES = KUSTOMIZE / "components" / "prometheus-operator" / "rules.yaml"
RUNBOOKS = ROOT / "docs" / "alerts.md"

CALM = {
    "spotvortex_cycles_total": "0+2x2000",
    'spotvortex_leader{mode="active"}': "1+0x2000",
    'spotvortex_input_ok{input="nodes"}': "1+0x2000",
    'spotvortex_input_ok{input="prices"}': "1+0x2000",
    "spotvortex_journal_write_errors_total": "0+0x2000",
    'spotvortex_channel_replaced_total{channel="observations"}': "0+0x2000",
    'spotvortex_drains_total{end="done"}': "0+1x2000",
    'spotvortex_drains_total{end="aborted"}': "0+0x2000",
    'spotvortex_unsafe_workloads{pool="web"}': "0+0x2000",
    'spotvortex_losses_learned_total{evidence="karpenter"}': "0+0x2000",
    'spotvortex_nodes{capacity_type="spot",pool="web"}': "20+0x2000",
    'spotvortex_notice_queue_errors_total{fault="denied"}': "0+0x2000",
    'spotvortex_model_drifted{model="graph"}': "0+0x2000",
}
"""What a healthy daemon shows, a value a minute."""

TROUBLE = {
    "SpotVortexIsNotDeciding": {"spotvortex_cycles_total": "5+0x2000"},
    "SpotVortexHasNoLeader": {'spotvortex_leader{mode="active"}': "0+0x2000"},
    "SpotVortexCannotReadAnInput": {'spotvortex_input_ok{input="prices"}': "0+0x2000"},
    "SpotVortexLosesRecords": {"spotvortex_journal_write_errors_total": "0+1x2000"},
    "SpotVortexIsSlowerThanItsTick": {
        'spotvortex_channel_replaced_total{channel="observations"}': "0+2x2000"
    },
    "SpotVortexDrainsFail": {
        'spotvortex_drains_total{end="done"}': "0+0x2000",
        'spotvortex_drains_total{end="aborted"}': "0+1x2000",
    },
    "SpotVortexOneLossBreaksWorkloads": {'spotvortex_unsafe_workloads{pool="web"}': "2+0x2000"},
    "SpotVortexSpotIsLostOften": {
        'spotvortex_losses_learned_total{evidence="karpenter"}': "0+1x2000"
    },
    "SpotVortexNoticesFail": {'spotvortex_notice_queue_errors_total{fault="denied"}': "0+1x2000"},
    "SpotVortexModelHasDrifted": {'spotvortex_model_drifted{model="graph"}': "1+0x2000"},
}
"""What each alert is there for."""

AT = "8h"


def groups():
    return yaml.safe_load(RULES.read_text())["spec"]


def alerts():
    return {
        rule["alert"]: rule for g in groups()["groups"] for rule in g["rules"] if "alert" in rule
    }


def judged(tmp_path, name, shown, expected):
    """Ask promtool whether, with these series, exactly the expected labels fire."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(groups()))
    rule = alerts()[name]
    annotations = rule["annotations"]
    summary = annotations["summary"]
    for label, value in (expected or {}).items():
        summary = summary.replace("{{ $labels." + label + " }}", value)
    fires = {
        "exp_labels": {**rule["labels"], **(expected or {})},
        "exp_annotations": {**annotations, "summary": summary},
    }
    test = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": s, "values": v} for s, v in shown.items()],
                "alert_rule_test": [
                    {
                        "eval_time": AT,
                        "alertname": name,
                        "exp_alerts": [] if expected is None else [fires],
                    }
                ],
            }
        ],
    }
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(test))
    return promtool(tmp_path, "test", "rules", "test.yaml")


def test_prometheus_understands_every_rule(tmp_path):
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(groups()))
    done = promtool(tmp_path, "check", "rules", "rules.yaml")
    assert done.returncode == 0, done.stderr
    assert "SUCCESS" in done.stdout


def test_what_the_daemon_shows_is_well_formed_by_prometheus_own_lint():
    program = find_program("promtool", "prometheus")
    made = Metrics(version="0", mode=Mode.SHADOW)
    made.follow_ledger(lambda: {"web": PoolSums()})
    shown = made.exposition()
    assert b"spotvortex_savings_usd_total" in shown
    done = subprocess.run(
        [program, "check", "metrics"], input=shown, capture_output=True, timeout=60, check=False
    )
    found = [line for line in done.stderr.decode().splitlines() if line]
    assert [line for line in found if "spotvortex_" in line and not _is_kept(line)] == []


def _is_kept(line):
    """Names of the Go agent's metrics, which dashboards of its users know, keep their form."""
    return line.split()[0] in {
        "spotvortex_potential_savings_hourly_usd",
        "spotvortex_shadow_projected_savings_delta_hourly_usd",
    }


@pytest.mark.parametrize("name", sorted(TROUBLE))
def test_an_alert_fires_in_its_trouble_and_is_silent_without_it(name, tmp_path):
    labels = {"SpotVortexCannotReadAnInput": {"input": "prices"}}
    labels["SpotVortexOneLossBreaksWorkloads"] = {"pool": "web"}
    labels["SpotVortexModelHasDrifted"] = {"model": "graph"}
    done = judged(tmp_path, name, CALM | TROUBLE[name], labels.get(name, {}))
    assert done.returncode == 0, done.stdout + done.stderr
    done = judged(tmp_path, name, CALM, None)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_model_that_is_off_for_a_moment_calls_nobody(tmp_path):
    shown = CALM | {'spotvortex_model_drifted{model="graph"}': "0x450 1x29 0x2000"}
    done = judged(tmp_path, "SpotVortexModelHasDrifted", shown, None)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_daemon_that_is_gone_is_noticed(tmp_path):
    done = judged(tmp_path, "SpotVortexIsNotDeciding", {"up": "1+0x2000"}, {})
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tried_and_has_a_runbook():
    assert alerts().keys() == TROUBLE.keys()
    headings = set(re.findall(r"^## (\S+)$", RUNBOOKS.read_text(), re.MULTILINE))
    assert headings == TROUBLE.keys()
    for name, rule in alerts().items():
        assert rule["annotations"]["runbook"] == f"docs/alerts.md#{name.lower()}"


def test_every_series_of_a_rule_is_one_that_the_daemon_has():
    text = RULES.read_text()
    assert series_in(text) <= shown_series()


def series_in(text):
    return set(re.findall(r"spotvortex_[a-z_]+", text))


def shown_series():
    """Every name that the daemon can show, suffixes of counters and histograms included."""
    made = Metrics(version="0", mode=Mode.SHADOW)
    made.follow_ledger(dict)
    names = {family.name for family in made.registry.collect()}
    queue = {"spotvortex_notice_queue_errors"}
    suffixes = ("", "_total", "_bucket", "_count", "_sum")
    return {name + suffix for name in names | queue for suffix in suffixes}
