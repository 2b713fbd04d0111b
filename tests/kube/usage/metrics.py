"""NodeMetrics and PodMetrics as metrics-server writes them."""

from datetime import UTC, datetime

from spotvortex.core.domain.usage import Amount

AT = 1_784_000_000.0
NODES = "/apis/metrics.k8s.io/v1beta1/nodes"
PODS = "/apis/metrics.k8s.io/v1beta1/pods"


def stamp(at=AT):
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def node_metrics(name, cpu="1500000000n", memory="2097152Ki", at=AT):
    return {
        "metadata": {"name": name, "labels": {"karpenter.sh/nodepool": "web"}},
        "timestamp": stamp(at),
        "window": "15.046s",
        "usage": {"cpu": cpu, "memory": memory},
    }


def pod_metrics(name, *usages, namespace="shop", at=AT):
    containers = [
        {"name": f"c{i}", "usage": {"cpu": cpu, "memory": memory}}
        for i, (cpu, memory) in enumerate(usages or [("250000000n", "1024Ki")])
    ]
    return {
        "metadata": {"name": name, "namespace": namespace},
        "timestamp": stamp(at),
        "window": "14.9s",
        "containers": containers,
    }


class Requests:
    """What pods have asked for, by `namespace/name`."""

    def __init__(self, **asked):
        self.asked_by = {
            key.replace("__", "/").replace("_", "-"): (workload, Amount(cpu, memory))
            for key, (workload, cpu, memory) in asked.items()
        }
        self.n_pods = len(self.asked_by)
        self.has_pods = True

    def asked(self, key):
        return self.asked_by.get(key)
