"""The protocol is the one that was agreed, and a wrong file is told with field and fix."""

import hashlib
import json

import pytest

from spotvortex.errors import ProtocolError
from spotvortex.evaluation.protocol import OWN_PATH, load, parse
from spotvortex.results.accounting import Costs
from spotvortex.results.verdict import GateBounds


def changed(path, value):
    """Return the file's bytes with one field set, or removed where the value is ...."""
    data = json.loads(OWN_PATH.read_bytes())
    *parents, last = path
    place = data
    for name in parents:
        place = place[name]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return json.dumps(data).encode()


def test_the_constants_are_those_that_were_agreed_before_the_first_result():
    protocol = load()
    assert protocol.costs == Costs(v=1.5, cm=3.0, ci=15.0)
    assert {f.name: f.hazard_per_node_hour for f in protocol.families} == {
        "calm": 1e-4,
        "normal": 2e-3,
        "stressed": 3e-2,
        "replay": None,
    }
    assert (len(protocol.mixes), protocol.n_seeds, protocol.n_days) == (3, 30, 7)
    assert protocol.max_pools == 3
    assert protocol.gate == GateBounds(
        min_improvement_pct=2.0,
        max_outage_delta_minutes=0.0,
        void_below_ratio=0.1,
        min_void_points=1.0,
    )
    assert protocol.sensitivities.ci == (5.0, 60.0)
    assert protocol.baselines.b2_spot_ratio == (0.5, 0.7, 0.9)


def test_karpenter_evicts_at_the_notice_and_its_lazy_form_is_a_sensitivity_only():
    baselines = load().baselines
    for settings, eager in ((baselines.b3, True), (baselines.b3_lazy, False)):
        assert {s.evicts_at_notice for s in settings} == {eager}
        assert {(s.consolidate_after_s, s.disruption_budget_ratio) for s in settings} == {
            (0.0, 0.1),
            (0.0, 1.0),
            (600.0, 0.1),
            (600.0, 1.0),
        }


def test_the_digest_is_that_of_the_files_bytes():
    raw = OWN_PATH.read_bytes()
    assert load().digest == hashlib.sha256(raw).hexdigest()
    assert parse(raw + b"\n").digest != load().digest


def test_variants_change_one_thing_each_and_leave_out_what_is_unchanged():
    variants = load().variants
    assert [v.name for v in variants] == [
        "",
        "boot-x2",
        "hazard-x0.1",
        "hazard-x10",
        "notice-loss-0pct",
        "notice-loss-20pct",
    ]
    assert all(
        (v.boot_factor != 1.0) + (v.hazard_factor != 1.0) + (v.notice_loss_ratio != 0.05) == 1
        for v in variants[1:]
    )


def test_somebody_elses_file_is_read_by_its_path(tmp_path):
    path = tmp_path / "mine.json"
    path.write_bytes(changed(["n_seeds"], 5))
    assert load(path).n_seeds == 5


def test_errors_name_the_file(tmp_path):
    with pytest.raises(ProtocolError, match=r"none\.json cannot be read: No such file"):
        load(tmp_path / "none.json")
    path = tmp_path / "mine.json"
    path.write_bytes(changed(["mixes"], ...))
    with pytest.raises(ProtocolError, match=r"mine\.json: missing field mixes; add it"):
        load(path)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["costs", "ci"], ..., "missing field costs.ci; add it"),
        (["costs", "cx"], 1.0, "unknown field costs.cx; remove it"),
        (["families", 1, "replays"], ..., r"missing field families\[1\].replays"),
        (["baselines", "b3", 0, "eager"], True, r"unknown field baselines.b3\[0\].eager"),
        (["digest"], "0", "unknown field digest; remove it"),
        (["gate"], 2.0, "gate has to be an object"),
        (["families"], {}, "Protocol.families: an array is expected; compare"),
        (["n_seeds"], "30", "Protocol.n_seeds: int is expected"),
        (["baselines", "b3_choice"], "best", "'best' is none of highest_mean"),
        (["version"], 2, "version is 2; this code reads version 1"),
        (["mixes"], [], "mixes is empty; give at least one"),
        (["mixes"], ["a", "a"], "mixes has a name twice"),
        (["mixes"], ["a/b"], "mixes: 'a/b' is no name"),
        (["bound"], "", "bound: '' is no name"),
        (["families", 3, "hazard_per_node_hour"], 0.1, "is 0.1; set it to null"),
        (["families", 0, "hazard_per_node_hour"], None, "is None; give losses"),
        (["families", 0, "hazard_per_node_hour"], 0.0, "is 0.0; give losses"),
        (["costs", "v"], 0, "costs.v is 0; give a value from 0.001"),
        (["costs", "ci"], "NaN", "costs.ci is nan; give a value"),
        (["max_pools"], 4, "max_pools is 4; give a value from 1 to 3"),
        (["gate", "max_outage_delta_minutes"], -1, "max_outage_delta_minutes is -1"),
        (["bootstrap", "level_ratio"], 95, "bootstrap.level_ratio is 95"),
        (["sensitivities", "hazard_factor"], [10, 0], "sensitivities.hazard_factor is 0"),
        (["baselines", "b3", 1, "disruption_budget_ratio"], 10, "disruption_budget_ratio is 10"),
        (["baselines", "b3_lazy", 1, "consolidate_after_s"], -1, "consolidate_after_s is -1"),
    ],
)
def test_a_wrong_field_is_named_with_its_fix(path, value, words):
    with pytest.raises(ProtocolError, match=words):
        parse(changed(path, value))


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"{", "it is not JSON"),
        (b"\xff", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b"[]", "the whole has to be an object"),
        (b" " * 1_000_001, "larger than"),
    ],
)
def test_what_is_no_protocol_is_told_as_such(raw, words):
    with pytest.raises(ProtocolError, match=words):
        parse(raw)


def test_a_protocol_may_do_without_the_lazy_form():
    assert parse(changed(["baselines", "b3_lazy"], [])).baselines.b3_lazy == ()
