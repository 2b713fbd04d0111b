"""What has to be worked out anew at the next snapshot.

Comes in: marks set by the tables of `kube` as events arrive. Goes out: the same marks, once. A sum
is never adjusted in place; it is marked here and recomputed from the few pods concerned.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Changes:
    """Marks since the last snapshot.

    `pool_names` is set when a NodePool or node group came or went, so that any node may belong
    elsewhere; `node_pools` when a NodePool itself changed.
    """

    nodes: set[str] = field(default_factory=set)
    label_sets: set[int] = field(default_factory=set)
    pdbs: set[str] = field(default_factory=set)
    node_pools: bool = False
    pool_names: bool = False
