"""Where the savings ledger survives a restart.

Comes in and goes out: a ledger. Declares only. May not import an edge.
"""

from __future__ import annotations

from typing import Protocol

from spotvortex.core.ledger.ledger import Ledger


class LedgerStore(Protocol):
    """What keeps the ledger."""

    @property
    def is_settled(self) -> bool:
        """Tell whether it is known what was kept before: until then nothing is accounted for."""
        ...

    @property
    def saved(self) -> Ledger | None:
        """The ledger that is known to survive, None where none is yet, or none ever will."""
        ...

    @property
    def keeps(self) -> bool:
        """Tell whether anything will be kept at all."""
        ...

    def recall(self) -> Ledger | None:
        """Return what was kept before, once; None where nothing was.

        Later on, what another process has written since, once.
        """
        ...

    def save(self, ledger: Ledger) -> bool:
        """Keep a ledger; blocking, so called in a thread. False where it failed, which is said."""
        ...
