"""Notices reach the daemon as its own process, and nodes that will be lost are emptied in time."""

import itertools
import json
import socket
import threading
import time

import pytest

from tests.active.scene.notices import Pool, Queue, prepare, settings
from tests.aws.conftest import Moto, silent
from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane
from tests.core.events import interruption, rebalance, scheduled_change, state_change
from tests.e2e.equipment.daemon import Daemon
from tests.witness.crash_proxy import CrashProxy, Reply
from tests.witness.judge.names import AT_RISK
from tests.witness.recording import Recording

pytestmark = pytest.mark.controlplane

TTL_S = 60
"""The shortest life of a rebalance recommendation that may be set."""


class Scene:
    """One daemon, one queue, and a recording of all that happens."""

    def __init__(self, plane, proxy, moto, queue, daemon, recording):
        self.plane, self.proxy, self.moto = plane, proxy, moto
        self.queue, self.daemon, self.recording = queue, daemon, recording

    def metric(self, series):
        return self.daemon.metric(series)

    def messages(self, event):
        return self.metric(f'spotvortex_notice_messages_total{{event="{event}"}}')

    def input_ok(self):
        return self.metric('spotvortex_input_ok{input="notices"}')

    def evictions(self, pool):
        """Evictions of a pool's pods that the server carried out: time and pod."""
        done = (w for w in self.recording.observer().case.done() if w.resource == "pods/eviction")
        return [(w.at, w.name) for w in done if w.name.startswith(f"{pool.name}-")]


@pytest.fixture(scope="module")
def plane():
    with ControlPlane(with_kwok=True, karpenter_crds=True) as plane:
        prepare(plane)
        yield plane


@pytest.fixture(scope="module")
def scene(plane, tmp_path_factory):
    folder = tmp_path_factory.mktemp("notices")
    with silent(), Moto() as moto, CrashProxy(plane) as proxy, Recording(plane) as recording:
        queue = Queue(moto.url, "notices")
        variables = settings(plane, folder, moto.url, queue.url, server=proxy.url)
        variables["SPOTVORTEX_REBALANCE_TTL_S"] = str(TTL_S)
        with Daemon(folder, variables) as daemon:
            daemon.wait_ready()
            yield Scene(plane, proxy, moto, queue, daemon, recording)


def test_interrupted_nodes_are_cordoned_and_emptied_into_one_set_of_room_a_pool(scene):
    pools = [Pool(plane=scene.plane, name=n, n_nodes=2, n_spare=2) for n in ("twin", "pair")]
    notices = [pool.interrupted(i) for pool in pools for i in range(2)]
    deadline = time.time() + 119
    scene.queue.send(*notices)
    for pool in pools:
        wait_until(lambda pool=pool: all(pool.is_cordoned(i) for i in range(2)))
    journals = [[pool.journal(i) for i in range(2)] for pool in pools]
    assert {j["kind"] for pair in journals for j in pair} == {"interruption"}
    plans = [{j["plan"] for j in pair} for pair in journals]
    assert [len(p) for p in plans] == [1, 1], "the nodes of a pool share their room"
    assert plans[0] != plans[1]
    for pool in pools:
        wait_until(lambda pool=pool: not pool.on(0) and not pool.on(1), 110)
        wait_until(pool.all_run, 60)
    assert time.time() < deadline
    wait_until(lambda: scene.queue.n_left() == 0)
    for pool in pools:
        wait_until(lambda pool=pool: not pool.room())
        pool.lose(0)
        pool.lose(1)


def test_pods_that_take_long_to_end_are_evicted_first(scene):
    pool = Pool(plane=scene.plane, name="slow", slow_s=8, may_miss="100%")
    graces = {p["metadata"]["name"]: p["spec"]["terminationGracePeriodSeconds"] for p in pool.on(0)}
    assert set(graces.values()) == {8, 1}
    scene.queue.send(pool.interrupted())
    wait_until(lambda: not pool.on(0), 110)
    order = [graces[name] for _, name in scene.evictions(pool)]
    assert len(order) == 4
    assert order == sorted(order, reverse=True)
    pool.lose()


def test_a_message_is_deleted_only_after_the_mark(scene):
    pool = Pool(plane=scene.plane, name="held")
    fault = scene.proxy.answer("mark", Reply(status=500), times=1000)
    scene.queue.send(pool.interrupted())
    wait_until(lambda: fault.n_done >= 2)
    assert not pool.is_cordoned()
    assert scene.queue.n_left() == 1
    scene.proxy.disarm()
    wait_until(pool.is_cordoned, 60)
    wait_until(lambda: scene.queue.n_left() == 0)
    wait_until(lambda: not pool.on(0), 110)
    pool.lose()


def test_with_no_room_the_pods_go_in_time_before_the_deadline(scene):
    pool = Pool(plane=scene.plane, name="tight", n_spare=0, may_miss="100%")
    event = pool.interrupted(ago_s=80)
    deadline = time.time() + 40
    scene.queue.send(event)
    wait_until(lambda: pool.is_cordoned() and len(pool.room()) == 4)
    assert len(pool.on(0)) == 4, "as long as there is time, room is waited for"
    wait_until(lambda: not pool.on(0), 60)
    first, last = scene.evictions(pool)[0][0], scene.evictions(pool)[-1][0]
    assert first > deadline - 4 - 15 - 2
    assert last < deadline - 4
    pool.add("r", 1, capacity_type="on-demand")
    wait_until(pool.all_run, 60)
    pool.lose()


def test_a_notice_whose_deadline_is_near_waits_for_no_room(scene):
    pool = Pool(plane=scene.plane, name="late", n_spare=0, may_miss="100%")
    scene.queue.send(pool.interrupted(ago_s=108))
    wait_until(lambda: not pool.on(0), 30)
    assert len(scene.evictions(pool)) == 4
    pool.add("r", 1, capacity_type="on-demand")
    wait_until(pool.all_run, 60)
    pool.lose()


@pytest.mark.parametrize("state", ["shutting-down", "stopping"])
def test_a_node_whose_machine_goes_already_is_emptied_at_once(scene, state):
    pool = Pool(plane=scene.plane, name=f"lost-{state}", n_spare=0, may_miss="100%")
    scene.queue.send(state_change(state, pool.instance(), f"state-{state}", at=time.time()))
    wait_until(lambda: not pool.on(0), 30)
    assert len(scene.evictions(pool)) == 4
    pool.lose()


def test_a_scheduled_change_is_acted_on_when_it_is_near_and_not_days_ahead(scene):
    near = Pool(plane=scene.plane, name="near")
    far = Pool(plane=scene.plane, name="far")
    now = time.time()
    scene.queue.send(
        scheduled_change(near.instance(), start=now + 300, event_id="near"),
        scheduled_change(far.instance(), start=now + 7200, event_id="far"),
    )
    wait_until(near.is_cordoned)
    wait_until(lambda: not near.on(0), 60)
    assert near.journal()["reason"] == "notice scheduled-change"
    assert not far.is_cordoned()
    assert scene.queue.n_left() == 1, "the queue remembers what is still to come"
    near.lose()
    # A node that goes before its time settles the notice.
    far.lose()
    wait_until(lambda: scene.queue.n_left() == 0)


def test_a_rebalance_recommendation_is_noted_and_undone_and_drains_nothing(scene):
    pool = Pool(plane=scene.plane, name="risk")
    scene.queue.send(rebalance(pool.instance(), "risk", at=time.time() - (TTL_S - 15)))
    wait_until(lambda: pool.note(AT_RISK))
    wait_until(lambda: scene.queue.n_left() == 0)
    assert not pool.is_cordoned()
    wait_until(lambda: not pool.note(AT_RISK), 60)
    assert not pool.is_cordoned()
    assert scene.evictions(pool) == []


def test_messages_that_are_no_news_are_counted_and_stop_nothing(scene):
    pool = Pool(plane=scene.plane, name="noise")
    before = {event: scene.messages(event) for event in ("duplicate", "received", "deleted")}
    rejects = "spotvortex_notice_rejects_total"
    rejected = {
        r: scene.metric(f'{rejects}{{reason="{r}"}}') for r in ("malformed", "unknown", "huge")
    }
    news = pool.interrupted()
    scene.queue.send(
        "no event",
        json.dumps({"source": "aws.ec2", "detail-type": "Something else", "detail": {}}),
        "x" * (65 * 1024),
        interruption("i-0123456789abcdef0", "foreign", at=time.time()),
        news,
        news,
        pool.interrupted(event_id="the-same-in-other-words"),
    )
    wait_until(lambda: not pool.on(0), 110)
    wait_until(lambda: scene.queue.n_left() == 0)
    for reason, n in rejected.items():
        assert scene.metric(f'{rejects}{{reason="{reason}"}}') == n + 1, reason
    assert scene.messages("duplicate") == before["duplicate"] + 2
    assert scene.messages("received") == before["received"] + 7
    wait_until(lambda: scene.messages("deleted") == before["deleted"] + 7)
    assert len(scene.evictions(pool)) == 4
    pool.lose()


def test_an_outage_of_the_queue_is_told_and_is_not_fatal(scene):
    pool = Pool(plane=scene.plane, name="out")
    wait_until(lambda: scene.input_ok() == 1)
    scene.moto.__exit__()
    try:
        wait_until(lambda: scene.input_ok() == 0, 90)
        assert scene.daemon.is_ready(), "without notices all else goes on"
    finally:
        scene.moto.__enter__()
    wait_until(lambda: scene.input_ok() == 1, 90)
    scene.queue.send(pool.interrupted())
    wait_until(lambda: not pool.on(0), 110)
    pool.lose()


def test_the_observer_saw_nothing_wrong(scene):
    """Comes last: it judges all that was done above."""
    wait_until(lambda: scene.queue.n_left() == 0)
    wait_until(lambda: not scene.plane.api().items("/api/v1/namespaces/spotvortex/pods"), 60)
    assert scene.daemon.stop() == 0
    scene.recording.__exit__(None, None, None)
    seen = scene.recording.observer().seen()
    print(seen)
    assert seen["marks"] == seen["evictions"] / 4
    assert scene.recording.breaches() == []


class Ears:
    """A listener that counts who comes."""

    def __init__(self):
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.n_heard = itertools.count()
        self.heard = 0
        self._thread = threading.Thread(target=self._listen)

    def _listen(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.close()
            self.heard += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)


def test_in_shadow_a_queue_is_read_as_evidence(plane, tmp_path):
    with Ears() as ears:
        queue = f"{ears.url}/123456789012/notices"
        variables = settings(plane, tmp_path, ears.url, queue) | {"SPOTVORTEX_MODE": "shadow"}
        with Daemon(tmp_path, variables) as daemon:
            daemon.wait_ready()
            wait_until(lambda: ears.heard > 0, 60)
            assert daemon.stop() == 0


def test_no_queue_is_read_by_default(plane, tmp_path):
    change = {"SPOTVORTEX_NOTICE_SOURCE": "", "SPOTVORTEX_INTERRUPTION_QUEUE": ""}
    with Ears() as ears:
        queue = f"{ears.url}/123456789012/notices"
        variables = settings(plane, tmp_path, ears.url, queue) | change
        with Daemon(tmp_path, variables) as daemon:
            daemon.wait_ready()
            n = daemon.metric("spotvortex_cycles_total")
            wait_until(lambda: daemon.metric("spotvortex_cycles_total") > n + 5)
            assert daemon.stop() == 0
        assert ears.heard == 0
