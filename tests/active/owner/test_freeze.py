"""A person creates one ConfigMap in the middle of a wave, and the daemon stops, softly or hard."""

import time

import pytest

from tests.active.scene.town import CONFIG_MAPS, POOL, Size, Town, steady, town
from tests.controlplane.api import wait_until
from tests.controlplane.credentials import SHADOW_USER
from tests.witness.judge.case import CLUSTER
from tests.witness.judge.names import FREEZE
from tests.witness.recording import Recording
from tests.witness.writes import seconds, writes_of

pytestmark = pytest.mark.controlplane

USER = "replica-a"
QUIET_S = 6.0
"""Many times the tick: who wanted to write would have."""


@pytest.fixture(scope="module")
def place(starting):
    with town(starting, Size(n_spot=8, n_on_demand=8, grace_s=8)) as built:
        yield built


def freeze(place: Town, data=None) -> float:
    """Create the freeze as `kubectl create configmap` does; return when it was there."""
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": FREEZE}}
    place.api.must("POST", CONFIG_MAPS, manifest | ({"data": data} if data else {}))
    return time.time()


def thaw(place: Town):
    place.api.delete(f"{CONFIG_MAPS}/{FREEZE}")


def changes(recording, since):
    """What of ours was written since, beside the lease and what is only said."""
    return [
        w
        for w in writes_of(recording.events(), [SHADOW_USER])
        if w.at > since and w.resource not in ("leases", "events")
    ]


def first_refused(daemon, words) -> float:
    """When the daemon first decided with the freeze in sight."""
    refused = ["freeze", "refuse", words]
    frozen = [r for r in daemon.records() if any(v[:3] == refused for v in r["verdicts"])]
    return seconds(frozen[0]["time"])


def assert_refused_with_words(daemon, words):
    wait_until(
        lambda: any(v[:3] == ["freeze", "refuse", words] for v in daemon.records()[-1]["verdicts"]),
        30,
    )
    assert daemon.records()[-1]["action"] == "HOLD"


def assert_kept(recording):
    observer = recording.observer(max_in_flight={POOL: 8, CLUSTER: 8}, anchors_stay=True)
    print(observer.seen())
    assert observer.breaches() == []


def test_a_soft_freeze_undoes_what_is_in_flight_and_begins_nothing(place, tmp_path):
    with Recording(place.plane) as recording, place.daemon(USER, tmp_path / "soft") as daemon:
        place.await_wave()
        frozen_at = freeze(place)
        wait_until(place.is_quiet, 60)
        print(f"undone within {time.time() - frozen_at:.1f} s")
        words = f"ConfigMap {FREEZE} exists (soft)"
        assert_refused_with_words(daemon, words)
        nodes, undone_at = place.n_spot(), time.time()
        steady(lambda: len(changes(recording, undone_at)), QUIET_S)
        assert changes(recording, undone_at) == []
        # What had passed its check by then may still land.
        seen_at = first_refused(daemon, words)
        print(f"seen after {seen_at - frozen_at:.1f} s")
        after = changes(recording, seen_at + 0.5)
        begun = [w for w in after if w.is_mark or w.resource == "pods/eviction"]
        assert [str(w) for w in begun if w.done] == []
        assert [w for w in after if w.verb == "create" and w.done] == []
        assert place.n_spot() == nodes
        thaw(place)
        place.await_wave()
        assert daemon.process.poll() is None
        daemon.process.terminate()
        assert daemon.process.wait(60) == 0
    assert_kept(recording)


def test_before_a_wave_a_freeze_lets_nothing_begin(place, tmp_path):
    began = time.time()
    freeze(place)
    with Recording(place.plane) as recording, place.daemon(USER, tmp_path / "before") as daemon:
        daemon.wait_ready()
        wait_until(daemon.records, 60)
        wait_until(lambda: place.holder() == USER, 60)
        assert_refused_with_words(daemon, f"ConfigMap {FREEZE} exists (soft)")
        steady(lambda: len(changes(recording, began)), QUIET_S)
        assert [str(w) for w in changes(recording, began)] == []
        assert daemon.stop() == 0
    thaw(place)
    assert_kept(recording)


def test_under_a_hard_freeze_nothing_at_all_is_written_and_after_it_the_wave_is_ended(
    place, tmp_path
):
    with Recording(place.plane) as recording, place.daemon(USER, tmp_path / "hard") as daemon:
        place.await_wave()
        frozen_at = freeze(place, {"hard": "true"})
        # The watch tells it within moments; what had passed its check by then may still land.
        assert_refused_with_words(daemon, f"ConfigMap {FREEZE} exists (hard)")
        seen_at = time.time()
        print(f"seen within {seen_at - frozen_at:.1f} s")
        steady(lambda: len(changes(recording, seen_at)), QUIET_S)
        assert [str(w) for w in changes(recording, seen_at)] == []
        begun = {n["metadata"]["name"] for n in place.nodes() if n["spec"].get("unschedulable")}
        assert begun
        thaw(place)
        wait_until(lambda: begun.isdisjoint(place.cordoned()), 120)
        daemon.process.terminate()
        assert daemon.process.wait(60) == 0
    wait_until(place.all_running, 60)
    assert place.node_pool() == place.first_pool
    assert_kept(recording)
