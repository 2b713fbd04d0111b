"""One change that lets more of a workload run on Spot: as words, and as a line for a shell.

Comes in: what is to be changed, and to what. Goes out: the two, made of the same values. May not
judge whether the change suffices, and never runs its line.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

ANNOTATED: Final = frozenset({"Deployment", "StatefulSet"})
"""Kinds whose own annotation is read; of any other kind that of its pods is."""


class ChangeKind(StrEnum):
    """What a person would do."""

    MEND = "mend"
    """Mend an annotation that cannot be read."""
    WAIT = "wait"
    """Wait for pods that are on their way."""
    SCALE = "scale"
    """Have more replicas."""
    ANNOTATE = "annotate"
    """Say another word in an annotation."""
    SPREAD = "spread"
    """Spread the pods over the zones."""
    ASK_FOR_LESS = "ask-for-less"
    """Ask for fewer pods after a loss, since no number of replicas would do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What would let one more pod of a workload go to Spot.

    Attributes:
        kind: what a person would do.
        target: whom to change, as in "Deployment shop/web", "Namespace shop" or "the pods of
            Rollout shop/api"; "" where nobody is to be changed.
        annotation: the annotation to set, "" where none is.
        value: what to set it to, "" likewise.
        n_before: replicas as they are, None where their number stays.
        n_replicas: replicas that suffice, None likewise.
        words: what there is to mend or to wait for, "" of the other kinds.
    """

    kind: ChangeKind
    target: str = ""
    annotation: str = ""
    value: str = ""
    n_before: int | None = None
    n_replicas: int | None = None
    words: str = ""

    @property
    def text(self) -> str:
        """The change in words."""
        match self.kind:
            case ChangeKind.MEND:
                return self.words
            case ChangeKind.WAIT:
                return f"wait for {self.words}"
            case ChangeKind.SCALE:
                return f"raise replicas from {self.n_before} to {self.n_replicas}"
            case ChangeKind.ANNOTATE:
                return f"set {self.annotation}: {self.value} on {self.target}"
            case ChangeKind.SPREAD:
                return "spread it by topologySpreadConstraints over topology.kubernetes.io/zone"
            case ChangeKind.ASK_FOR_LESS:
                return "ask for fewer pods after a loss"

    @property
    def command(self) -> str:
        """The line for a shell that does it, "" where no line does."""
        if self.kind is ChangeKind.SCALE:
            return kubectl("scale", self.target, f"--replicas={self.n_replicas}")
        if self.kind is ChangeKind.ANNOTATE:
            said = f"{self.annotation}={self.value}"
            return kubectl("annotate --overwrite", self.target, said, also=("Namespace",))
        return ""


def kubectl(verb: str, target: str, rest: str, also: tuple[str, ...] = ()) -> str:
    """Return a line of kubectl on "Deployment shop/web", "" of a kind that it is not for."""
    kind, _, key = target.partition(" ")
    if kind not in (*ANNOTATED, *also):
        return ""
    namespace, _, name = key.rpartition("/")
    where = f"-n {namespace} " if namespace else ""
    return f"kubectl {where}{verb} {kind.lower()}/{name} {rest}"
