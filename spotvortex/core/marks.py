"""The names by which what is ours is known in a cluster.

Comes in: nothing. Goes out: labels, annotations and object names, and small questions about them.
Whatever we put into a cluster carries one of these, so that anybody can find it and take it away.
"""

from __future__ import annotations

import re
from typing import Final

PREFIX: Final = "spotvortex.io/"

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGER_NAME: Final = "spotvortex"

KIND: Final = "spotvortex.io/kind"
PLACEHOLDER: Final = "placeholder"
ANCHOR: Final = "anchor"
PLAN: Final = "spotvortex.io/plan"
FOR: Final = "spotvortex.io/for"
"""On a pod of ours: the uid of the node that is emptied (placeholder) or kept (anchor)."""

ORDER: Final = "spotvortex.io/order"
"""Annotation of a placeholder: the order that it was asked for, as JSON."""

CORDONED: Final = "spotvortex.io/cordoned"
"""Label of a node that we cordoned; by it one kubectl line finds them all."""

DRAIN: Final = "spotvortex.io/drain"
"""Annotation of a node that we cordoned: the order, as JSON."""

AT_RISK: Final = "spotvortex.io/at-risk"
"""Annotation of a node with a rebalance recommendation: until when it counts, RFC 3339 text."""

MODE: Final = "spotvortex.io/mode"
MAX_SPOT_RATIO: Final = "spotvortex.io/max-spot-ratio"
ON_DEMAND_FLOOR: Final = "spotvortex.io/on-demand-floor"
"""These three stand on NodePools, written by their owner and never by us."""

FREEZE: Final = "spotvortex-freeze"
STATE: Final = "spotvortex-state"
LEASE: Final = "spotvortex"
PRIORITY_CLASS: Final = "spotvortex-placeholder"
TETHER_PREFIX: Final = "spotvortex-tether-"

_LABEL_VALUE: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


def is_label_value(text: str) -> bool:
    """Tell whether a text may stand as the value of a label."""
    return _LABEL_VALUE.fullmatch(text) is not None
