"""What else than plain EC2 instances a cluster runs on, and what is possible there.

Comes in: a cluster. Goes out: rows for `assess` and `doctor`. May not decide anything.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from spotvortex.core.domain.cloud.hosting import WORDS, Hosting
from spotvortex.core.domain.observation import ClusterFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class HostingRow:
    """The nodes that run on one kind of thing.

    Attributes:
        hosting: what they run on.
        n_nodes: number of nodes.
        words: what is possible there and what is not, and why.
    """

    hosting: Hosting
    n_nodes: int
    words: str


def hosting_rows(cluster: ClusterFacts) -> tuple[HostingRow, ...]:
    """Return a row for each kind of hosting but plain EC2, the commonest first."""
    counts = Counter(node.hosting for node in cluster.nodes)
    found = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return tuple(
        HostingRow(hosting=kind, n_nodes=n, words=WORDS[kind]) for kind, n in found if WORDS[kind]
    )
