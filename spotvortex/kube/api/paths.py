"""Where objects are, as paths from the server's root.

Comes in: names. Goes out: paths, in which no name can mean anything but itself.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote


def node(name: str) -> str:
    """Return the path of a node."""
    return f"/api/v1/nodes/{_safe(name)}"


def node_claim(name: str) -> str:
    """Return the path of a Karpenter NodeClaim."""
    return f"/apis/karpenter.sh/v1/nodeclaims/{_safe(name)}"


NODE_POOLS: Final = "/apis/karpenter.sh/v1/nodepools"


def node_pool(name: str) -> str:
    """Return the path of a Karpenter NodePool."""
    return f"{NODE_POOLS}/{_safe(name)}"


def pods(namespace: str) -> str:
    """Return the path of a namespace's pods."""
    return f"/api/v1/namespaces/{_safe(namespace)}/pods"


def pod(namespace: str, name: str) -> str:
    """Return the path of a pod."""
    return f"{pods(namespace)}/{_safe(name)}"


def eviction(namespace: str, name: str) -> str:
    """Return the path at which a pod is evicted."""
    return f"{pod(namespace, name)}/eviction"


def jobs(namespace: str) -> str:
    """Return the path of a namespace's Jobs."""
    return f"/apis/batch/v1/namespaces/{_safe(namespace)}/jobs"


def budgets(namespace: str) -> str:
    """Return the path of a namespace's PodDisruptionBudgets."""
    return f"/apis/policy/v1/namespaces/{_safe(namespace)}/poddisruptionbudgets"


def leases(namespace: str) -> str:
    """Return the path of a namespace's Leases."""
    return f"/apis/coordination.k8s.io/v1/namespaces/{_safe(namespace)}/leases"


def config_maps(namespace: str) -> str:
    """Return the path of a namespace's ConfigMaps."""
    return f"/api/v1/namespaces/{_safe(namespace)}/configmaps"


def events(namespace: str) -> str:
    """Return the path of a namespace's Events."""
    return f"/api/v1/namespaces/{_safe(namespace)}/events"


def named(collection: str, name: str) -> str:
    """Return the path of one object of a collection."""
    return f"{collection}/{_safe(name)}"


def _safe(name: str) -> str:
    return quote(name, safe="")
