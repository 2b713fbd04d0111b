"""The savings ledger in a file.

Comes in: the ledger. Goes out: the same after a restart. A file is replaced whole or not at all;
one that cannot be read is kept aside under another name, and the ledger begins anew. May not know
what the figures mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spotvortex.core.ledger import ledger_text
from spotvortex.core.ledger.ledger import Ledger
from spotvortex.persistence.whole_file import keep_aside, replace_whole

FILE_NAME: Final = "savings-ledger.json"
_WHAT: Final = "ledger"


@dataclass(slots=True)
class LedgerFile:
    """Implements `ports.LedgerStore` in a folder.

    Attributes:
        folder: where the file lies.
        saved: what is there, as far as this process knows.
    """

    folder: Path
    saved: Ledger | None = None
    _was_asked: bool = False

    @property
    def path(self) -> Path:
        """Where the ledger lies."""
        return self.folder / FILE_NAME

    @property
    def is_settled(self) -> bool:
        """Tell that it can be read at once."""
        return True

    @property
    def keeps(self) -> bool:
        """Tell that it is kept."""
        return True

    def recall(self) -> Ledger | None:
        """Read the ledger once; None where there is none, or none that can be read."""
        if self._was_asked:
            return None
        self._was_asked = True
        try:
            return ledger_text.from_text(self.path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            keep_aside(self.path, str(error), _WHAT)
            return None

    def save(self, ledger: Ledger) -> bool:
        """Replace the file; blocking, so called in a thread. False where it failed."""
        if not replace_whole(self.path, ledger_text.to_text(ledger), _WHAT):
            return False
        self.saved = ledger
        return True
