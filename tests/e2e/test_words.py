"""Owners' words on the real control plane: read with the rights as shipped, by assess and daemon.

A Deployment with `maxUnavailable: 1` and Spot pods in one zone no longer holds its pool; a word on
it, on its namespace or on a StatefulSet is seen, and one that cannot be read is named.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.manifests import (
    Manifest,
    NodeShape,
    PodShape,
    deployment_manifest,
    namespace_manifest,
    node_manifest,
    nodepool_manifest,
    pdb_manifest,
)
from tests.e2e.commands.test_assess import assess
from tests.e2e.conftest import USER
from tests.e2e.equipment.daemon import Daemon
from tests.e2e.equipment.prices import write_price_file

pytestmark = pytest.mark.controlplane

SPACE = "words"
WORD = "spotvortex.io/min-available-after-loss"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{SPACE}/deployments/worded"
NAMESPACE = f"/api/v1/namespaces/{SPACE}"
N_PODS = 8 + 4 + 3


def node(kind: str, number: int) -> Manifest:
    shape = NodeShape(
        pool=SPACE,
        capacity_type=kind,
        instance_type="m5.xlarge",
        zone="us-east-1a",
        labels={"test.spotvortex.io/scene": SPACE},
    )
    return node_manifest(f"{SPACE}-{kind}-{number}", shape)


def service(app: str, replicas: int, kind: str = "Deployment") -> Manifest:
    """A workload that is spread over the nodes of the scene."""
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": app}},
    }
    spec = {
        "nodeSelector": {"test.spotvortex.io/scene": SPACE},
        "topologySpreadConstraints": [spread],
    }
    made = deployment_manifest(PodShape(app=app, namespace=SPACE, spec=spec), replicas=replicas)
    if kind == "StatefulSet":
        made["spec"] |= {"serviceName": app, "podManagementPolicy": "Parallel"}
    return made | {"kind": kind}


def noted(manifest: Manifest, word: str) -> Manifest:
    metadata = manifest["metadata"] | {"annotations": {WORD: word}}
    return manifest | {"metadata": metadata}


def is_ready(pod: Manifest) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def say(plane: ControlPlane, path: str, word: str | None) -> None:
    plane.api().patch(path, {"metadata": {"annotations": {WORD: word}}})


@dataclass(frozen=True)
class Place:
    plane: ControlPlane
    prices: str


@pytest.fixture(scope="module")
def place(shop: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    plane, api = shop, shop.api()
    plane.apply([noted(namespace_manifest(SPACE), "25%"), nodepool_manifest(SPACE)])
    nodes = [node(kind, i) for kind in ("spot", "on-demand") for i in range(2)]
    for made in nodes:
        api.create(made)
    tight = pdb_manifest("worded", SPACE, max_unavailable=1)
    worded, db = service("worded", 8), service("db", 3, "StatefulSet")
    plane.apply([noted(worded, "50%"), tight, service("plain", 4), noted(db, "1")])
    pods = f"/api/v1/namespaces/{SPACE}/pods"
    wait_until(lambda: sum(map(is_ready, api.items(pods))) == N_PODS, timeout=90)
    prices = write_price_file(tmp_path_factory.mktemp("words") / "prices.jsonl")
    yield Place(plane, str(prices))
    api.delete(NAMESPACE)
    for made in nodes:
        api.delete(f"/api/v1/nodes/{made['metadata']['name']}")
    api.delete(f"/apis/karpenter.sh/v1/nodepools/{SPACE}")


def assessed(place: Place) -> dict:
    done = assess(place.plane, "--output", "json", SPOTVORTEX_PRICE_FILE=place.prices)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def pool_safety_of(place: Place) -> list:
    (found,) = [d for d in assessed(place)["decisions"] if d["pool"] == SPACE]
    (verdict,) = [v for v in found["verdicts"] if v["gate"] == "pool_safety"]
    return verdict


def test_assess_reads_each_word_where_its_owner_put_it(place: Place):
    rows = {row["workload"]: row for row in assessed(place)["workloads"]}
    said = {key: (row["said"], row["said_by"]) for key, row in rows.items() if SPACE in key}
    assert said == {
        f"{SPACE}/Deployment/worded": ("50%", f"Deployment {SPACE}/worded"),
        f"{SPACE}/Deployment/plain": ("25%", f"Namespace {SPACE}"),
        f"{SPACE}/StatefulSet/db": ("1", f"StatefulSet {SPACE}/db"),
    }


def test_a_budget_of_one_and_spot_pods_in_one_zone_hold_the_pool_no_more(place: Place):
    """8 pods on 4 nodes, 4 of them on the Spot of one zone: two nodes' worth may not go, with a
    word of a quarter they may."""
    held = pool_safety_of(place)
    assert held["outcome"] == "refuse"
    assert f"{SPACE}/Deployment/worded can spare 0 pods" in held["reason"]
    (hold,) = [h for h in assessed(place)["holds"] if h["pool"] == SPACE]
    assert hold["change"] == f"set {WORD}: 37% on Deployment {SPACE}/worded"
    say(place.plane, DEPLOYMENT, "25%")
    try:
        assert pool_safety_of(place)["outcome"] == "at-most"
    finally:
        say(place.plane, DEPLOYMENT, "50%")


def test_the_daemon_in_shadow_sees_words_come_and_go(place: Place, tmp_path: Path):
    variables = {
        "KUBECONFIG": str(place.plane.kubeconfig(USER)),
        "SPOTVORTEX_PRICE_FILE": place.prices,
    }
    with Daemon(tmp_path, variables) as daemon:
        daemon.wait_ready()

        def reason() -> str:
            gates = daemon.pools()[SPACE]["gates"]
            (verdict,) = [gate for gate in gates if gate["gate"] == "pool_safety"]
            return f"{verdict['outcome']}: {verdict['reason']}"

        wait_until(lambda: reason().startswith("refuse:"), timeout=60)
        say(place.plane, DEPLOYMENT, "25%")
        wait_until(lambda: reason().startswith("at-most:"), timeout=60)
        say(place.plane, NAMESPACE, "a quarter")
        wanted = f"refuse: Namespace {SPACE}: {WORD}='a quarter': give pods"
        try:
            wait_until(lambda: reason().startswith(wanted), timeout=60)
        finally:
            say(place.plane, NAMESPACE, "25%")
            say(place.plane, DEPLOYMENT, "50%")
        wait_until(lambda: reason().startswith("refuse: "), timeout=60)
