"""The manifests of a release, one file a mode, and the installer that knows their checksums.

Comes in: deploy/kustomize, scripts/install.sh, and what the release says of itself. Goes out: files
in a folder, the same bytes from the same sources. May not publish anything.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from scripts.chart.builds import Kustomize
from scripts.chart.templates import IMAGE, MODES
from scripts.chart.text import dumped

INSTALLER = Path(__file__).resolve().parents[1] / "install.sh"


@dataclass(frozen=True, slots=True)
class Release:
    """What a release says of itself.

    Attributes:
        version: as in pyproject.toml.
        address: the URL below which its files lie, "" where it has none.
        image: what the pods run, "" for the name in the manifests.
    """

    version: str
    address: str = ""
    image: str = ""


def write(folder: Path, release: Release) -> list[Path]:
    """Write the manifests of every mode and the installer; return their places."""
    sums: dict[str, str] = {}
    written: list[Path] = []
    with tempfile.TemporaryDirectory() as copy:
        kustomize = Kustomize(Path(copy))
        for mode in MODES:
            place = folder / f"spotvortex-{release.version}-{mode}.yaml"
            place.write_text(_text(kustomize, mode, release), "utf-8")
            sums[mode] = hashlib.sha256(place.read_bytes()).hexdigest()
            written.append(place)
    installer = folder / INSTALLER.name
    installer.write_text(installer_of(release, sums), "utf-8")
    installer.chmod(0o755)
    return [*written, installer]


def _text(kustomize: Kustomize, mode: str, release: Release) -> str:
    text = "".join(f"---\n{dumped(manifest)}" for manifest in kustomize.build(mode).values())
    if not release.image:
        return text
    return re.sub(IMAGE.pattern, f"image: {release.image}", text, flags=re.MULTILINE)


def installer_of(release: Release, sums: dict[str, str]) -> str:
    """Return the installer with what this release is."""
    text = INSTALLER.read_text("utf-8")
    said = {"VERSION": release.version, "RELEASE": release.address}
    said |= {f"SUM_{mode}": found for mode, found in sums.items()}
    for name, value in said.items():
        text = text.replace(f"'@{name}@'", f"'{value}'")
    return text
