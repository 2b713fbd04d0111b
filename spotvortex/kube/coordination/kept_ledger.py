"""The savings ledger in its ConfigMap.

Comes in: the newest ledger. Goes out: what was accounted for before, once, and what has been saved.
See `kept_value` for how it is kept.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import ClassVar

from spotvortex.core.domain import labels
from spotvortex.core.ledger import ledger_text
from spotvortex.core.ledger.ledger import EMPTY_LEDGER, Ledger
from spotvortex.kube.coordination.kept_value import KeptValue

log = logging.getLogger(__name__)


@dataclass(slots=True)
class KeptLedger(KeptValue[Ledger]):
    """Implements `ports.LedgerStore` by one ConfigMap; `run` has to be running."""

    NAME: ClassVar[str] = labels.LEDGER
    KEY: ClassVar[str] = "ledger"

    @property
    def saved(self) -> Ledger | None:
        """The ledger that was written last by this process, None before the first."""
        return self._saved.value

    def recall(self) -> Ledger | None:
        """Return what was accounted for before, once it has been read.

        And once more where another process has written since: the leader before this one.
        """
        return self._take()

    def save(self, ledger: Ledger) -> bool:
        """Keep the newest ledger for the next writing; called in a thread."""
        self._keep(ledger, ledger_text.to_text(ledger))
        return True

    def _meet(self, text: str) -> None:
        try:
            self._recalled = self._read_text(text)
        except ValueError as error:
            log.warning("ledger.not_met", extra={"error": str(error)})

    def _read_text(self, text: str) -> Ledger:
        return ledger_text.from_text(text) if text else EMPTY_LEDGER
