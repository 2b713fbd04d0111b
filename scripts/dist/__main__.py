"""Make what a release consists of beside the image, in a folder.

Usage: python -m scripts.dist [--folder DIR] [--release URL] [--image IMAGE] [--only PART ...]

Parts: `manifests` (one file a mode, and install.sh with their checksums), `chart`, `sbom`, `wheel`,
`zipapp` (the command line as one file, and the archive of the kubectl plugin), `krew` (its manifest,
of all archives in the folder). At the end SHA256SUMS names every file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tomllib
from pathlib import Path

from scripts.chart.__main__ import CHART
from scripts.dist import archive, manifests, one_file, sbom
from scripts.dist.manifests import Release

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("manifests", "chart", "sbom", "wheel", "zipapp", "krew")


def main() -> int:
    """Make the parts that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m scripts.dist", description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "dist")
    parser.add_argument("--release", default="", help="the URL below which the files will lie")
    parser.add_argument("--image", default="", help="what the pods will run")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    folder: Path = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    make(folder, Release(project["version"], options.release, options.image), options.only)
    return 0


def make(folder: Path, release: Release, parts: list[str]) -> None:
    """Make parts in a folder, in their order, and the list of checksums."""
    if "manifests" in parts:
        manifests.write(folder, release)
    if "chart" in parts:
        place = folder / f"spotvortex-chart-{release.version}.tgz"
        archive.write(place, archive.below(CHART, "spotvortex"))
    if "sbom" in parts:
        lock = sbom.locked((ROOT / "requirements.lock").read_text("utf-8"))
        text = json.dumps(sbom.document(lock, {}), indent=1)
        (folder / f"spotvortex-{release.version}.cdx.json").write_text(f"{text}\n", "utf-8")
    if "wheel" in parts or "zipapp" in parts:
        wheel = one_file.write_wheel(folder)
    if "zipapp" in parts:
        one_file.write_plugin(one_file.write_zipapp(folder, wheel, release))
    if "krew" in parts:
        one_file.write_krew(folder, release)
    write_sums(folder)


def write_sums(folder: Path) -> None:
    """Write the checksum of every file of the folder, as `sha256sum --check` reads them."""
    files = sorted(p for p in folder.iterdir() if p.is_file() and p.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in files]
    (folder / "SHA256SUMS").write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{len(files)} files in {folder}", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
