"""Archives that are the same bytes from the same files.

Comes in: files by the names that they get. Goes out: a gzipped tar. May not know what is in it.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path


def write(target: Path, files: Mapping[str, Path]) -> None:
    """Write files to an archive, by name, with no time and no owner of theirs."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, path in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = path.stat().st_size
            member.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            with path.open("rb") as content:
                tar.addfile(member, content)
    with target.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as zipped:
        zipped.write(packed.getvalue())


def below(folder: Path, name: str) -> dict[str, Path]:
    """Return every file of a folder by its name below another."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {f"{name}/{path.relative_to(folder)}": path for path in found}
