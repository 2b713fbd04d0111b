"""An order, and views of the node that it is to move."""

from spotvortex.core.calls import NodeView, PodView
from spotvortex.core.messages import DrainOrder
from spotvortex.core.types import CapacityType
from tests.core.builders import AT

ORDER = DrainOrder(
    plan_id="p1",
    pool="web",
    node="n1",
    uid="0123456789",
    node_claim="claim-1",
    node_pool="web",
    to=CapacityType.ON_DEMAND,
    reason="DECREASE_10 medium_risk",
    deadline=AT + 600.0,
)


def pod(name, **changes):
    values = {
        "namespace": "shop",
        "name": name,
        "uid": f"uid-{name}",
        "cpu_milli": 100,
        "memory_bytes": 1 << 20,
        "grace_s": 30.0,
        "stays": False,
    }
    return PodView(**(values | changes))


def view(*pods, **changes):
    values = {
        "node": "n1",
        "uid": ORDER.uid,
        "present": True,
        "cordoned": False,
        "pods": pods,
        "bound": 0,
    }
    return NodeView(**(values | changes))
