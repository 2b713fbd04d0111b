"""The interruption memory in a file.

Comes in: the memory. Goes out: the same after a restart. A file is replaced whole or not at all;
one that cannot be read is kept aside under another name, and the memory starts anew. May not know
what the figures mean.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spotvortex.core.scoring import interruption_memory, memory_text
from spotvortex.errors import SettingsError

log = logging.getLogger(__name__)

FILE_NAME: Final = "interruption-memory.txt"


@dataclass(frozen=True, slots=True)
class MemoryFile:
    """Implements `ports.MemoryStore` in a folder."""

    folder: Path

    @property
    def path(self) -> Path:
        """Where the memory lies."""
        return self.folder / FILE_NAME

    def load(self) -> interruption_memory.Memory:
        """Read the memory; an empty one where there is none, or none that can be read."""
        try:
            return memory_text.from_text(self.path.read_text("utf-8"))
        except FileNotFoundError:
            return interruption_memory.EMPTY_MEMORY
        except (OSError, ValueError) as error:
            self._keep_aside(str(error))
            return interruption_memory.EMPTY_MEMORY

    def save(self, memory: interruption_memory.Memory) -> bool:
        """Replace the file; blocking, so called through `offload`. False where it failed."""
        fresh = self.path.with_suffix(".new")
        try:
            fresh.write_text(memory_text.to_text(memory), "utf-8")
            os.replace(fresh, self.path)
        except OSError as error:
            log.warning("memory.not_saved", extra={"path": str(self.path), "error": str(error)})
            return False
        return True

    def _keep_aside(self, error: str) -> None:
        aside = self.path.with_suffix(".unreadable")
        log.warning("memory.unreadable", extra={"kept_as": str(aside), "error": error})
        try:
            os.replace(self.path, aside)
        except OSError as failure:
            log.warning("memory.not_kept", extra={"error": str(failure)})


def open_folder(folder: Path) -> MemoryFile:
    """Open the state folder.

    Raises:
        SettingsError: it is not there or cannot be written.
    """
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise SettingsError(
            f"SPOTVORTEX_STATE_DIR={folder} must be a folder that can be written; make it, or "
            "leave the variable unset to forget at a restart"
        )
    return MemoryFile(folder)
