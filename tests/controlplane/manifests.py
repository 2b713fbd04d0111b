"""Plain dictionaries for the objects of test scenes; nothing here talks to a server."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

Manifest = dict[str, Any]

LONG_AGO = "2026-01-01T00:00:00Z"
_BALLAST_ENVIRONMENT = 9
_BALLAST_TEXT_BYTES = 2600


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeShape:
    """What a node looks like."""

    pool: str = "web"
    style: str = "karpenter"  # or "nodegroup" (EKS managed), or "plain" (no pool labels)
    capacity_type: str = "spot"  # or "on-demand"
    instance_type: str = "m5.xlarge"
    zone: str = "us-east-1a"
    cpu: str = "4"
    memory: str = "16Gi"
    n_pods: int = 110
    ready: bool = True
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    taints: tuple[Manifest, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PodShape:
    """What a pod, or the template of a Deployment, looks like."""

    app: str = "web"
    namespace: str = "default"
    cpu: str = "100m"
    memory: str = "128Mi"
    grace_s: int = 30
    node_name: str | None = None
    owner: Manifest | None = None  # an entry of ownerReferences, see `owner_reference`
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    spec: Manifest = field(default_factory=dict)  # further fields of the pod's spec
    ballast: bool = False  # as large as pods of real clusters: two containers, about 9 kB stored


def node_manifest(name: str, shape: NodeShape | None = None) -> Manifest:
    """Return a Node with its status (capacity, allocatable, conditions)."""
    shape = shape or NodeShape()
    resources = {"cpu": shape.cpu, "memory": shape.memory, "pods": str(shape.n_pods)}
    instance = f"i-{hashlib.sha256(name.encode()).hexdigest()[:17]}"
    spec: Manifest = {"providerID": f"aws:///{shape.zone}/{instance}"}
    if shape.taints:
        spec["taints"] = list(shape.taints)
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": _node_labels(name, shape) | shape.labels,
            "annotations": dict(shape.annotations),
        },
        "spec": spec,
        "status": {
            "capacity": resources | {"ephemeral-storage": "100Gi"},
            "allocatable": resources | {"ephemeral-storage": "90Gi"},
            "conditions": [_ready_condition(ready=shape.ready)],
            "nodeInfo": _node_info(),
        },
    }


def _node_labels(name: str, shape: NodeShape) -> dict[str, str]:
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "node.kubernetes.io/instance-type": shape.instance_type,
        "topology.kubernetes.io/zone": shape.zone,
        "topology.kubernetes.io/region": shape.zone.rstrip("abcdef"),
    }
    if shape.style == "karpenter":
        labels["karpenter.sh/nodepool"] = shape.pool
        labels["karpenter.sh/capacity-type"] = shape.capacity_type
    elif shape.style == "nodegroup":
        labels["eks.amazonaws.com/nodegroup"] = shape.pool
        capacity_type = {"spot": "SPOT", "on-demand": "ON_DEMAND"}[shape.capacity_type]
        labels["eks.amazonaws.com/capacityType"] = capacity_type
    elif shape.style != "plain":
        raise ValueError(f"no style of pool labels is called {shape.style}")
    return labels


def _ready_condition(*, ready: bool) -> Manifest:
    return {
        "type": "Ready",
        "status": "True" if ready else "False",
        "reason": "KubeletReady" if ready else "KubeletNotReady",
        "message": "set by the test scene",
        "lastHeartbeatTime": LONG_AGO,
        "lastTransitionTime": LONG_AGO,
    }


def _node_info() -> dict[str, str]:
    return {
        "architecture": "amd64",
        "operatingSystem": "linux",
        "kubeletVersion": "v1.36.3",
        "kubeProxyVersion": "v1.36.3",
        "containerRuntimeVersion": "containerd://2.1.0",
        "kernelVersion": "6.1.0",
        "osImage": "Simulated",
        "bootID": "boot",
        "machineID": "machine",
        "systemUUID": "system",
    }


def pod_manifest(name: str, shape: PodShape | None = None) -> Manifest:
    """Return a Pod; with `node_name` it is bound already."""
    shape = shape or PodShape()
    template = pod_template(shape)
    metadata = template["metadata"] | {"name": name, "namespace": shape.namespace}
    if shape.owner is not None:
        metadata["ownerReferences"] = [shape.owner]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def pod_template(shape: PodShape) -> Manifest:
    """Return labels, annotations and spec of a pod."""
    annotations = dict(shape.annotations)
    containers = [_container("main", shape)]
    if shape.ballast:
        annotations["test.spotvortex.io/ballast"] = "ballast " * (_BALLAST_TEXT_BYTES // 8)
        containers.append(_container("sidecar", shape))
    spec: Manifest = {
        "containers": containers,
        "terminationGracePeriodSeconds": shape.grace_s,
    }
    if shape.node_name is not None:
        spec["nodeName"] = shape.node_name
    return {
        "metadata": {"labels": {"app": shape.app} | shape.labels, "annotations": annotations},
        "spec": spec | shape.spec,
    }


def _container(name: str, shape: PodShape) -> Manifest:
    requests = {"cpu": shape.cpu, "memory": shape.memory}
    container: Manifest = {
        "name": name,
        "image": f"example.test/{shape.app}/{name}:1",
        "resources": {"requests": requests, "limits": {"memory": shape.memory}},
    }
    if shape.ballast:
        container["env"] = [
            {"name": f"SETTING_{i:02}", "value": f"value-{i:02}-of-{shape.app}"}
            for i in range(_BALLAST_ENVIRONMENT)
        ]
    return container


def pod_status(pod: Manifest, *, host_ip: str = "10.0.0.1", pod_ip: str = "10.244.0.1") -> Manifest:
    """Return the status of a pod that runs and is ready."""
    return {
        "phase": "Running",
        "startTime": LONG_AGO,
        "hostIP": host_ip,
        "podIP": pod_ip,
        "podIPs": [{"ip": pod_ip}],
        "qosClass": "Burstable",
        "conditions": [
            {"type": kind, "status": "True", "lastTransitionTime": LONG_AGO}
            for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
        ],
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "ready": True,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": LONG_AGO}},
            }
            for container in pod["spec"]["containers"]
        ],
    }


def namespace_manifest(name: str) -> Manifest:
    """Return a Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def deployment_manifest(shape: PodShape | None = None, *, replicas: int = 1) -> Manifest:
    """Return a Deployment named like its app."""
    return _workload("Deployment", shape or PodShape(), replicas)


def replica_set_manifest(shape: PodShape, *, replicas: int, owner: Manifest) -> Manifest:
    """Return the ReplicaSet of a Deployment, for scenes without its controller."""
    manifest = _workload("ReplicaSet", shape, replicas)
    manifest["metadata"] |= {"name": f"{shape.app}-1", "ownerReferences": [owner]}
    return manifest


def _workload(kind: str, shape: PodShape, replicas: int) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": shape.app, "namespace": shape.namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": shape.app}},
            "template": pod_template(shape),
        },
    }


def owner_reference(stored: Manifest) -> Manifest:
    """Return what names a stored object as the controller of another."""
    return {
        "apiVersion": stored["apiVersion"],
        "kind": stored["kind"],
        "name": stored["metadata"]["name"],
        "uid": stored["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def pdb_manifest(
    app: str,
    namespace: str = "default",
    *,
    max_unavailable: int | str | None = None,
    min_available: int | str | None = None,
) -> Manifest:
    """Return a PodDisruptionBudget named like its app; `max_unavailable` is 1 if neither is set."""
    spec: Manifest = {"selector": {"matchLabels": {"app": app}}}
    if min_available is not None:
        spec["minAvailable"] = min_available
    else:
        spec["maxUnavailable"] = 1 if max_unavailable is None else max_unavailable
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": app, "namespace": namespace},
        "spec": spec,
    }


def nodepool_manifest(
    name: str,
    *,
    capacity_types: tuple[str, ...] = ("spot", "on-demand"),
    families: tuple[str, ...] = (),
    spec: Manifest | None = None,
) -> Manifest:
    """Return a Karpenter NodePool of the KWOK node class `default`.

    Args:
        name: its name.
        capacity_types: what it may launch.
        families: instance families it may launch, e.g. `("m5", "c5")`; all if empty.
        spec: further fields of its spec, e.g. `{"weight": 10}`.
    """
    requirements = [_is_in("karpenter.sh/capacity-type", capacity_types)]
    if families:
        requirements.append(_is_in("karpenter.kwok.sh/instance-family", families))
    node_class = {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"}
    template = {"spec": {"nodeClassRef": node_class, "requirements": requirements}}
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": name},
        "spec": {"template": template} | (spec or {}),
    }


def _is_in(key: str, values: tuple[str, ...]) -> Manifest:
    return {"key": key, "operator": "In", "values": list(values)}


def node_class_manifest(name: str = "default") -> Manifest:
    """Return the node class of Karpenter's KWOK provider."""
    return {
        "apiVersion": "karpenter.kwok.sh/v1alpha1",
        "kind": "KWOKNodeClass",
        "metadata": {"name": name},
    }
