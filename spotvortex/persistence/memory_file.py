"""The interruption memory in a file.

Comes in: the memory. Goes out: the same after a restart. A file is replaced whole or not at all;
one that cannot be read is kept aside under another name, and the memory starts anew. May not know
what the figures mean.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spotvortex.core.scoring import interruption_memory, memory_text
from spotvortex.errors import SettingsError
from spotvortex.persistence.whole_file import keep_aside, replace_whole

FILE_NAME: Final = "interruption-memory.txt"
_WHAT: Final = "memory"


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
            keep_aside(self.path, str(error), _WHAT)
            return interruption_memory.EMPTY_MEMORY

    def save(self, memory: interruption_memory.Memory) -> bool:
        """Replace the file; blocking, so called through `offload`. False where it failed."""
        return replace_whole(self.path, memory_text.to_text(memory), _WHAT)


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
