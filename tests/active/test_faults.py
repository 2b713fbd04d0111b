"""The API server answers badly, a person steps in, no room is to be had: every wave ends cleanly.

A fault that time heals costs time alone; one that does not ends the wave before it has done harm.
Each end is said: in the log, in `spotvortex_calls_total`, in an Event on the node.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.active.scene.bench import NO_BUDGET, RULES, Bench, Size
from tests.active.scene.lives import tail
from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.manifests import Manifest, pdb_manifest
from tests.e2e.equipment.daemon import Daemon
from tests.witness.crash_proxy import CrashProxy, Do, Fault, Reply
from tests.witness.judge.names import CORDONED, NAMESPACE
from tests.witness.market import EMERGENCY, HIGH
from tests.witness.recording import Recording

pytestmark = pytest.mark.controlplane


@contextmanager
def at_work(
    plane: ControlPlane,
    folder: Path,
    size: Size | None = None,
    risk: float = EMERGENCY,
    **variables: str,
) -> Iterator[tuple[Bench, CrashProxy, Daemon]]:
    """A pool that is to leave Spot, the daemon behind a proxy, and a witness with the last word."""
    with Bench(plane, size or Size(n_from=1, n_to=1)) as bench, CrashProxy(plane) as proxy:
        settings = bench.variables(folder, risk, proxy.url) | variables
        with Recording(plane) as recording, Daemon(folder, settings) as daemon:
            try:
                yield bench, proxy, daemon
            except (AssertionError, TimeoutError) as error:
                raise AssertionError(f"{error}\n{bench.counts()}\n{tail(daemon)}") from error
            proxy.disarm()
            assert daemon.stop() == 0
        observer = recording.observer(**RULES)
        print(f"requests {proxy.counts()}, judged {observer.seen()}")
        assert observer.breaches() == []
        assert bench.pool_is_unchanged()


def answers(daemon: Daemon, answer: str) -> float:
    """Sum `spotvortex_calls_total` over the calls that had one answer."""
    _, text = daemon.get("/metrics")
    lines = [line for line in str(text).splitlines() if line.startswith("spotvortex_calls_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines if f'answer="{answer}"' in line)


def ended(daemon: Daemon) -> list[str]:
    """Return the lines of the log that tell the end of a drain."""
    return [line for line in daemon.log_path.read_text().splitlines() if "drain.ended" in line]


def ended_with(daemon: Daemon, *words: str) -> bool:
    """Tell whether a drain has ended with all these words."""
    return any(all(word in line for word in words) for line in ended(daemon))


# -- faults that time heals ---------------------------------------------------


def _status(code: int, reason: str, message: str) -> Reply:
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reason,
        "code": code,
        "message": message,
    }
    return Reply(status=code, body=json.dumps(body).encode())


PASSING = (
    _status(409, "Conflict", "the object has been modified"),
    _status(429, "TooManyRequests", "the server is busy"),
    _status(500, "InternalError", "etcdserver: leader changed"),
    _status(504, "Timeout", "the request timed out"),
    _status(401, "Unauthorized", "the token has expired"),
    Do.CUT,
    Do.LOSE,
    Do.DROP,
)
WRITES = (
    "lease-create",
    "state-create",
    "create-tether",
    "create-placeholder",
    "create-anchor",
    "mark",
    "evict",
    "delete-nodeclaim",
    "delete-placeholders",
)


@pytest.mark.parametrize("shift", [0, 3, 6])
def test_every_kind_of_write_survives_a_fault_that_passes(plane, tmp_path, shift):
    with Bench(plane, Size(n_from=1, n_to=1)) as bench, CrashProxy(plane) as proxy:
        faults = [
            proxy.arm(_passing(kind, PASSING[(number + shift) % len(PASSING)]))
            for number, kind in enumerate(WRITES)
        ]
        variables = bench.variables(tmp_path, EMERGENCY, proxy.url)
        with Recording(plane) as recording, Daemon(tmp_path, variables) as daemon:
            try:
                wait_until(lambda: bench.at_end(on_demand=1), 120, every_s=0.3)
                # What is left to clean may be nothing, and is asked for a moment later.
                wait_until(lambda: all(fault.n_done for fault in faults), 30)
            except TimeoutError:
                missed = [fault.pattern for fault in faults if not fault.n_done]
                raise AssertionError(f"never came: {missed}\n{tail(daemon)}") from None
            wait_until(lambda: answers(daemon, "Again") >= 3)
            assert daemon.stop() == 0
        assert recording.breaches(**RULES) == []
        assert bench.pool_is_unchanged()


def _passing(kind: str, what: Reply | Do) -> Fault:
    do, reply = (what, None) if isinstance(what, Do) else (Do.ANSWER, what)
    return Fault(pattern=kind, do=do, first=1, left=1, reply=reply)


def test_watches_that_end_with_410_and_a_slow_server_are_only_slower(plane, tmp_path):
    gone = _status(410, "Expired", "too old resource version")
    with at_work(plane, tmp_path) as (bench, proxy, daemon):
        proxy.answer("watch-*", gone, times=8)
        proxy.slow("mark", 4.0)
        proxy.slow("evict", 4.0, times=2)
        wait_until(lambda: bench.at_end(on_demand=1), 120, every_s=0.3)
        # It is said a moment after the last of it was done.
        wait_until(lambda: ended_with(daemon, "end=done"))


def test_a_partition_of_30_s_in_mid_drain_is_outlived(plane, tmp_path):
    with at_work(plane, tmp_path, SPOTVORTEX_MAX_INPUT_AGE_S="10") as (bench, proxy, daemon):
        held = proxy.answer("evict", NO_BUDGET, times=1000)
        wait_until(lambda: held.n_done, 60)
        n_before = len(proxy.seen("evict"))
        with proxy.partitioned():
            lost = time.monotonic() + 30.0
            wait_until(lambda: time.monotonic() > lost, 40)
        proxy.disarm()
        wait_until(lambda: bench.at_end(on_demand=1), 120, every_s=0.3)
        assert len(proxy.seen("evict")) > n_before
        assert "lease.lost" in daemon.log_path.read_text()


# -- refusals -----------------------------------------------------------------


def _policy(name: str, resource: str, operation: str) -> list[Manifest]:
    """A policy of the cluster's owner that lets nobody of ours do one thing."""
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": [operation],
        "resources": [resource],
    }
    group = "admissionregistration.k8s.io/v1"
    ours = {"name": "ours", "expression": "request.userInfo.username.contains('spotvortex')"}
    policy = {
        "apiVersion": group,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [rule]},
            "matchConditions": [ours],
            "validations": [{"expression": "false", "message": f"not in this house: {name}"}],
        },
    }
    binding = {
        "apiVersion": group,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }
    return [policy, binding]


@contextmanager
def denied(plane: ControlPlane, resource: str, operation: str) -> Iterator[str]:
    """Deny something by a real admission policy for as long as the block lasts."""
    api, name = plane.api(), f"no-{resource.replace('/', '-')}"
    manifests = _policy(name, resource, operation)
    plane.apply(manifests)
    try:
        yield f"not in this house: {name}"
    finally:
        for manifest in manifests:
            api.delete(api.path_of(manifest))


@pytest.mark.parametrize(
    ("resource", "operation", "end"),
    [
        ("pods", "CREATE", "no-replacement"),
        ("nodes", "UPDATE", "refused"),
        ("pods/eviction", "CREATE", "refused"),
    ],
)
def test_what_a_policy_denies_ends_the_wave_in_the_servers_words(
    plane, tmp_path, resource, operation, end
):
    with denied(plane, resource, operation) as words:
        settle = {"SPOTVORTEX_SETTLE_S": "5"}
        with at_work(plane, tmp_path, **settle) as (bench, proxy, daemon):
            _await_policy(plane, daemon, words, end)
            reason = "SpotVortexDrain" + "".join(w.title() for w in end.split("-"))
            wait_until(lambda: any(words in text for text in bench.events(reason)), 30)
            bench.freeze()
            wait_until(lambda: bench.at_end(spot=1, on_demand=1), 60)
            wait_until(lambda: answers(daemon, "Refused") >= 1)
            assert "delete-nodeclaim" not in proxy.counts()


def _await_policy(plane: ControlPlane, daemon: Daemon, words: str, end: str) -> None:
    wait_until(lambda: ended_with(daemon, words, f"end={end}"), 90)


# -- no room ------------------------------------------------------------------


def never_bound(work: tuple[Bench, CrashProxy, Daemon], words: str, counts: dict[str, int]) -> None:
    """Wait until the wave has ended for want of room, and see that nothing was moved."""
    bench, proxy, daemon = work
    wait_until(lambda: ended_with(daemon, "end=no-replacement", words), 90)
    wait_until(lambda: any(words in t for t in bench.events("SpotVortexDrainNoReplacement")), 30)
    bench.freeze()
    wait_until(lambda: bench.at_end(**counts), 60)
    assert not proxy.counts().keys() & {"mark", "evict", "delete-nodeclaim"}


def test_room_that_is_nowhere_ends_the_wave_in_the_schedulers_words(plane, tmp_path):
    size, settle = Size(n_from=1, n_to=0), {"SPOTVORTEX_SETTLE_S": "5", "SPOTVORTEX_BIND_S": "10"}
    with at_work(plane, tmp_path, size, **settle) as work:
        never_bound(work, "nodes are available", {"spot": 1})


def test_room_that_no_node_is_large_enough_for_ends_the_wave(plane, tmp_path):
    settle = {"SPOTVORTEX_SETTLE_S": "5", "SPOTVORTEX_BIND_S": "10"}
    with at_work(plane, tmp_path, Size(n_from=1, n_to=0), **settle) as work:
        work[0].add_node("on-demand", cpu="1")
        never_bound(work, "Insufficient cpu", {"spot": 1, "on_demand": 1})


def test_a_quota_that_is_used_up_ends_the_wave_in_the_servers_words(plane, tmp_path):
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "tight", "namespace": NAMESPACE},
        "spec": {"hard": {"pods": "0"}},
    }
    api = plane.api()
    plane.apply([quota])
    path = api.path_of(quota)
    try:
        wait_until(lambda: api.get(path).get("status", {}).get("hard"), 30)
        with at_work(plane, tmp_path, SPOTVORTEX_SETTLE_S="5") as work:
            never_bound(work, "exceeded quota: tight", {"spot": 1, "on_demand": 1})
    finally:
        api.delete(path)


def test_room_that_somebody_deletes_is_asked_for_anew_and_the_node_moves(plane, tmp_path):
    with at_work(plane, tmp_path, Size(n_from=1, n_to=0)) as (bench, _, daemon):
        wait_until(lambda: len(bench.own_pods("placeholder")) == bench.size.n_pods, 60)
        lost = bench.own_pods("placeholder")[0]["metadata"]
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{lost['name']}"
        bench.api.delete(path, {"gracePeriodSeconds": 0})
        wait_until(lambda: bench.api.request("GET", path)[0] == 200, 30)
        assert bench.api.get(path)["metadata"]["uid"] != lost["uid"]
        bench.add_empty("on-demand", 1)
        wait_until(lambda: bench.at_end(on_demand=1), 90)
        wait_until(lambda: ended_with(daemon, "end=done"))
        assert len(ended(daemon)) == 1


# -- a person, in mid-drain ---------------------------------------------------


@pytest.fixture
def in_mid_drain(plane, tmp_path):
    """A node that is marked and whose pods a budget holds, until the test says otherwise.

    The risk is no emergency, which would begin anew at once, whatever a person has just done.
    """
    with at_work(plane, tmp_path, risk=HIGH, SPOTVORTEX_SETTLE_S="120") as (bench, proxy, daemon):
        held = proxy.answer("evict", NO_BUDGET, times=1000)
        wait_until(lambda: held.n_done, 60)
        yield bench, proxy, daemon


def the_marked_node(bench: Bench) -> str:
    (node,) = [n for n in bench.nodes() if CORDONED in n["metadata"]["labels"]]
    return f"/api/v1/nodes/{node['metadata']['name']}"


def test_an_uncordon_by_a_person_ends_the_order(in_mid_drain):
    bench, _, daemon = in_mid_drain
    bench.api.patch(the_marked_node(bench), {"spec": {"unschedulable": None}})
    wait_until(lambda: ended_with(daemon, "end=aborted", "somebody else has uncordoned"), 60)
    wait_until(lambda: bench.at_end(spot=1, on_demand=1), 60)


def test_a_node_that_a_person_deletes_ends_the_order(in_mid_drain):
    bench, proxy, daemon = in_mid_drain
    claim = the_marked_node(bench).rpartition("/")[2]
    bench.api.delete(f"/apis/karpenter.sh/v1/nodeclaims/{claim}")
    proxy.disarm()
    wait_until(lambda: ended_with(daemon, "end=gone"), 60)
    wait_until(lambda: bench.at_end(on_demand=1), 60)


def _second_budget(bench: Bench) -> None:
    budget = pdb_manifest("one", bench.shop, max_unavailable=1)
    budget["metadata"]["name"] = "one-more"
    bench.plane.apply([budget])


def _do_not_disrupt(bench: Bench) -> None:
    pod = next(p for p in bench.pods() if p["metadata"]["labels"]["app"] == "one")
    path = f"/api/v1/namespaces/{bench.shop}/pods/{pod['metadata']['name']}"
    bench.api.patch(path, {"metadata": {"annotations": {"karpenter.sh/do-not-disrupt": "true"}}})


@pytest.mark.parametrize(
    ("hold", "words"),
    [(_second_budget, "two-pdbs"), (_do_not_disrupt, "do-not-disrupt")],
    ids=["second budget", "do not disrupt"],
)
def test_a_pod_that_a_person_holds_ends_the_order(
    in_mid_drain, hold: Callable[[Bench], None], words
):
    bench, _, daemon = in_mid_drain
    hold(bench)
    wait_until(lambda: ended_with(daemon, "end=refused", words), 60)
    wait_until(lambda: bench.at_end(spot=1, on_demand=1), 60)


def test_a_persons_cordon_before_ours_ends_the_order_and_stays(plane, tmp_path):
    size = Size(n_from=1, n_to=0)
    with at_work(plane, tmp_path, size, HIGH, SPOTVORTEX_SETTLE_S="120") as (bench, _, daemon):
        wait_until(lambda: bench.own_pods("placeholder"), 60)
        (node,) = bench.nodes()
        path = f"/api/v1/nodes/{node['metadata']['name']}"
        bench.api.patch(path, {"spec": {"unschedulable": True}})
        wait_until(lambda: ended_with(daemon, "end=aborted", "somebody else has cordoned"), 60)
        wait_until(lambda: not bench.own_pods("placeholder"), 30)
        assert bench.marked() == [f"{node['metadata']['name']}: []"]
