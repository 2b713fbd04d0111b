"""NodeClaims without Karpenter: what they look like, and a thread that carries out their deletion.

Comes in: a control plane with Karpenter's CRDs. Goes out: manifests, and nodes that go with their
claims. Shares no code with the product.
"""

from __future__ import annotations

import http.client
import threading
from contextlib import suppress
from typing import Self

from tests.controlplane.api import Api
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.manifests import Manifest

FINALIZER = "karpenter.sh/termination"
CLAIMS = "/apis/karpenter.sh/v1/nodeclaims"


class Provisioner:
    """Carries out the deletion of NodeClaims: the node goes, then its claim."""

    def __init__(self, plane: ControlPlane) -> None:
        self._api = plane.api()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="provisioner")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(20)

    def _run(self) -> None:
        while not self._end.wait(0.2):
            with suppress(OSError, http.client.HTTPException):
                for claim in self._api.items(CLAIMS):
                    if "deletionTimestamp" in claim["metadata"]:
                        finish(self._api, claim)


def finish(api: Api, claim: Manifest) -> None:
    """Let a NodeClaim that is being deleted go, its node first."""
    name = claim["metadata"]["name"]
    api.request("DELETE", f"/api/v1/nodes/{claim.get('status', {}).get('nodeName', name)}")
    change = {"metadata": {"finalizers": None}}
    api.request("PATCH", f"{CLAIMS}/{name}", change, content_type="application/merge-patch+json")


def claim_manifest(name: str, pool: str, kind: str) -> Manifest:
    """Return a NodeClaim that a NodePool asked for."""
    requirement = {"key": "karpenter.sh/capacity-type", "operator": "In", "values": [kind]}
    labels = {"karpenter.sh/nodepool": pool, "karpenter.sh/capacity-type": kind}
    reference = {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"}
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodeClaim",
        "metadata": {"name": name, "labels": labels, "finalizers": [FINALIZER]},
        "spec": {"nodeClassRef": reference, "requirements": [requirement]},
    }
