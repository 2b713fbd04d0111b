"""The names by which everything that the controller leaves in a cluster is found again.

Comes in: nothing, or plain values. Goes out: labels, annotations and object names. Whoever writes
into a cluster, reads it back or clears it takes the names from here; so do the manifests' tests.
May not know any object's shape beyond its labels.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

PREFIX: Final = "spotvortex.io/"

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGER: Final = "spotvortex"
"""Value of `MANAGED_BY` on every pod and Job that the controller creates."""

APP: Final = "app.kubernetes.io/name"
"""Label of the daemon's own pods, with the value `MANAGER`; pods that it creates lack it."""

KIND: Final = "spotvortex.io/kind"
PLAN: Final = "spotvortex.io/plan"
"""Label of the controller's pods: the id of the plan that asked for them."""

FOR: Final = "spotvortex.io/for"
"""Label of the controller's pods: uid of the node that is emptied, or kept."""

EXTRA: Final = "spotvortex.io/extra"
"""Label of placeholders beyond what was lost, with the value "true"; they keep off the nodes of the
others of their plan."""

ROOM: Final = "spotvortex.io/room"
"""Label of a placeholder for several pods: how many; one for a single pod lacks it."""

POOL: Final = "spotvortex.io/pool"
"""Label of the controller's pods: the pool, left out where its name is no label value."""

ORDER: Final = "spotvortex.io/order"
"""Annotation of the controller's pods: the order that they belong to, as JSON."""

CORDONED: Final = "spotvortex.io/cordoned"
"""Label of a node that the controller cordoned; one patch sets both, one removes both."""

CORDONED_VALUE: Final = "true"

DRAIN: Final = "spotvortex.io/drain"
"""Annotation of the same node: the journal of its drain, as JSON; same patch."""

AT_RISK: Final = "spotvortex.io/at-risk"
"""Annotation of a node that was recommended for rebalancing: the evidence, as JSON."""

KEPT: Final = "spotvortex.io/kept"
"""Annotation of a node that the controller keeps from Cluster Autoscaler's scale-down: for which
plan, as JSON; one patch sets both, one removes both."""

SCALE_DOWN_DISABLED: Final = "cluster-autoscaler.kubernetes.io/scale-down-disabled"
"""Cluster Autoscaler's own annotation, by which it removes no node; ours only beside `KEPT`."""

NODE_LABELS: Final = (CORDONED,)
NODE_ANNOTATIONS: Final = (DRAIN, AT_RISK, KEPT)
"""All that the controller writes into a node's metadata under its own names; a person sets any
other `PREFIX` name. `SCALE_DOWN_DISABLED` comes and goes with `KEPT`."""

MODE: Final = "spotvortex.io/mode"
MAX_SPOT_RATIO: Final = "spotvortex.io/max-spot-ratio"
ON_DEMAND_FLOOR: Final = "spotvortex.io/on-demand-floor"
"""Annotations of NodePools, written by their owner and never by the controller. The floor stands on
workloads and namespaces, too: there it counts Ready pods."""

MIN_AVAILABLE_AFTER_LOSS: Final = "spotvortex.io/min-available-after-loss"
"""Annotation of a workload, its pods or its namespace, written by their owner: the pods, or the
share of the replicas, that must stay Ready after any one loss."""

CRITICAL: Final = "spotvortex.io/critical"
"""Annotation of a pod, written by its owner: "true" for a critical service."""

RESTORE: Final = "spotvortex.io/restore"
"""Annotation of a NodePool of a pair that the controller steers: the owner's own values, as JSON;
the same request sets both, one removes both."""

STEERING: Final = "spotvortex-weights"
"""The field manager under which the controller steers a NodePool."""

FREEZE: Final = "spotvortex-freeze"
"""ConfigMap: while it exists the controller undoes what is in flight and moves nothing but what is
lost anyway."""

HARD: Final = "hard"
"""Key of the freeze's data; with the value "true" nothing at all is written."""

LEAVE: Final = "leave"
"""Another key; with the value "true" nothing is begun at all. The uninstall sets it."""

STATE: Final = "spotvortex-state"
"""ConfigMap of what has to survive a restart; also the prefix of copies that were set aside."""

GROWTHS: Final = f"{STATE}-groups"
"""ConfigMap of what Auto Scaling groups were asked for, for waves that are not over."""

MEMORY: Final = "spotvortex-memory"
"""ConfigMap of the interruption memory in the modes that write nothing else; the manifests ship it
empty, and the daemon never makes it."""

LEDGER: Final = "spotvortex-ledger"
"""ConfigMap of the savings ledger; the manifests ship it empty, and the daemon never makes it."""

WRITTEN_BY: Final = "spotvortex.io/written-by"
"""Annotation of these two ConfigMaps: the process that wrote it last."""

LEASE: Final = "spotvortex"

STATE_KEPT: Final = "spotvortex.io/state-kept"
"""Annotation of the lease, "true" once the state has been saved: from then on it may be lost."""

LEADER_ADDRESS: Final = "spotvortex.io/leader-address"
"""Annotation of the lease: who holds it, "@", and the IP address at which that replica answers."""

PRIORITY_CLASS: Final = "spotvortex-placeholder"
PRIORITY: Final = -10
"""Below every workload's 0, so that workloads take a placeholder's room; far above the threshold
of -33554432 under which Karpenter counts a node with only such pods as empty."""

TETHER_PREFIX: Final = "spotvortex-tether-"
"""Jobs that own the controller's pods and expire by themselves, and the pods with them."""

LONGEST_LIFE_S: Final = 1800
"""Seconds after which whatever the controller created is gone without it."""

_LABEL_VALUE: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


class PodKind(StrEnum):
    """What a pod that the controller created is for."""

    PLACEHOLDER = "placeholder"
    ANCHOR = "anchor"


def is_label_value(text: str) -> bool:
    """Tell whether the API server takes a text as a label's value; the empty one counts as none."""
    return _LABEL_VALUE.fullmatch(text) is not None


def pod_labels(kind: PodKind, *, plan_id: str, for_uid: str, pool: str) -> dict[str, str]:
    """Return the labels of a pod that the controller creates.

    Args:
        kind: what it is for.
        plan_id: the plan that asked for it.
        for_uid: uid of the node that is emptied, or kept.
        pool: left out where it is no label value.
    """
    labels = {MANAGED_BY: MANAGER, KIND: str(kind), PLAN: plan_id, FOR: for_uid}
    return labels | ({POOL: pool} if is_label_value(pool) else {})


def selector(**wanted: str) -> str:
    """Return the label selector of the controller's pods.

    Args:
        wanted: values by the name of a constant here in small letters, e.g. `plan`, `for_`.
    """
    names = {"kind": KIND, "plan": PLAN, "for_": FOR, "pool": POOL}
    terms = [f"{names[name]}={value}" for name, value in wanted.items()]
    return ",".join([f"{MANAGED_BY}={MANAGER}", *terms])
