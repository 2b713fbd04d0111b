"""What is remembered is there, unreadable, newer or gone when a daemon starts."""

import pytest

from tests.active.scene.town import CONFIG_MAPS, OWN_PODS, POOL, Town, steady, town
from tests.controlplane.api import wait_until
from tests.controlplane.credentials import SHADOW_USER
from tests.witness.judge.case import CLUSTER
from tests.witness.judge.names import STATE
from tests.witness.recording import Recording
from tests.witness.writes import writes_of

pytestmark = pytest.mark.controlplane

USER = "replica-a"
PATH = f"{CONFIG_MAPS}/{STATE}"
LOST = "what was remembered is lost: for a day only what protects is done"
GROWTH = {"SPOTVORTEX_MAX_SPOT_RATIO": "1"}
"""Nothing protects: what is wanted is more Spot."""


@pytest.fixture(scope="module")
def place(starting):
    with town(starting) as built:
        yield built


def stop(daemon):
    daemon.process.terminate()
    assert daemon.process.wait(60) == 0


def assert_nothing_for_its_price(place: Town, daemon, recording, word):
    """The gate says why, the log says so too, and nothing but the state itself is written."""
    wait_until(lambda: place.holder() == USER, 90)

    def is_told():
        verdicts = daemon.records()[-1]["verdicts"] if daemon.records() else []
        return any(v[:3] == ["mode", "refuse", LOST] for v in verdicts)

    wait_until(is_told, 60)
    assert daemon.records()[-1]["action"] == "HOLD"
    assert word in daemon.log_path.read_text()
    kept = ("leases", "events", "configmaps")

    def written():
        found = writes_of(recording.events(), [SHADOW_USER])
        return [str(w) for w in found if w.resource not in kept]

    steady(lambda: len(written()), 6.0)
    assert written() == []


def assert_kept(recording):
    observer = recording.observer(max_in_flight={POOL: 6, CLUSTER: 6}, anchors_stay=True)
    print(observer.seen())
    assert observer.breaches() == []


def test_a_first_start_ever_works_at_once(place, tmp_path):
    assert place.api.request("GET", PATH)[0] == 404
    with Recording(place.plane) as recording, place.daemon(USER, tmp_path / "first") as daemon:
        place.await_wave()
        stop(daemon)
    assert place.api.get(PATH)["data"]["version"] == "1"
    assert_kept(recording)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"version": "99", "pools": "{}"}, "it is of version 99, and this is 1"),
        ({"version": "1", "pools": "{no json"}, ""),
    ],
)
def test_a_state_that_cannot_be_read_is_kept_aside_and_nothing_grows(place, tmp_path, data, reason):
    place.api.delete(PATH)
    aside = f"{PATH}-aside"
    place.api.request("DELETE", aside)
    place.api.request("DELETE", OWN_PODS)
    metadata = {"name": STATE}
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    place.api.must("POST", CONFIG_MAPS, manifest)
    growing = place.daemon(USER, tmp_path / "odd", **GROWTH)
    with Recording(place.plane) as recording, growing as daemon:
        assert_nothing_for_its_price(place, daemon, recording, "state.aside")
        stop(daemon)
    kept = place.api.get(aside)
    assert kept["data"] == data
    assert reason in kept["metadata"]["annotations"]["spotvortex.io/reason"]
    assert_kept(recording)


def test_where_a_state_is_gone_though_somebody_led_before_nothing_grows(place, tmp_path):
    place.api.delete(PATH)
    place.api.request("DELETE", OWN_PODS)
    growing = place.daemon(USER, tmp_path / "lost", **GROWTH)
    with Recording(place.plane) as recording, growing as daemon:
        assert_nothing_for_its_price(place, daemon, recording, "state.lost")
        stop(daemon)
    assert_kept(recording)
    assert place.node_pool() == place.first_pool


def test_where_a_state_is_gone_the_kill_switch_takes_spot_away_all_the_same(place, tmp_path):
    place.api.delete(PATH)
    place.api.request("DELETE", OWN_PODS)
    n_before = place.n_spot()
    assert n_before > 0
    with Recording(place.plane) as recording, place.daemon(USER, tmp_path / "kill") as daemon:
        wait_until(lambda: place.n_spot() < n_before, 120)
        assert "state.lost" in daemon.log_path.read_text()
        wait_until(place.is_quiet, 90)
        stop(daemon)
    assert_kept(recording)
