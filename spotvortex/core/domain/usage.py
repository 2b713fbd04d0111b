"""What nodes and workloads really use, beside what their pods have asked for.

Comes in: rows made by an edge. Goes out: the same rows. May not judge them, and never stands for a
request: what fits where is judged by requests alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from spotvortex.core.domain.inputs import InputHealth


class UsageSource(StrEnum):
    """Whose figures count as utilisation."""

    METRICS_API = "metrics.k8s.io"
    """The kubelets' own figures, as metrics-server or its like serves them."""
    PROMETHEUS = "prometheus"
    """The same figures of cAdvisor, as a Prometheus has scraped them."""
    REQUESTS = "requests"
    """What pods have asked for, where nobody measures."""


@dataclass(frozen=True, slots=True)
class Amount:
    """CPU in thousandths of a core, and memory in bytes."""

    cpu_milli: int
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadUse:
    """What the pods of one workload use, beside what they have asked for.

    Attributes:
        workload: `namespace/Kind/name`.
        n_pods: pods of it that are measured.
        asked: what those pods request.
        used: what they use.
    """

    workload: str
    n_pods: int
    asked: Amount
    used: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageFacts:
    """What is used at one instant, by the first source that knows it.

    Attributes:
        source: whose figures these are.
        nodes: what each node uses, by name; a node that is not measured is not there.
        workloads: the workloads that ask for most beyond what they use, the first first; empty
            where pods are not measured.
        inputs: the health of the sources.
    """

    source: UsageSource = UsageSource.REQUESTS
    nodes: Mapping[str, Amount] = field(default_factory=dict)
    workloads: tuple[WorkloadUse, ...] = ()
    inputs: tuple[InputHealth, ...] = ()


NO_USAGE: Final = UsageFacts()
