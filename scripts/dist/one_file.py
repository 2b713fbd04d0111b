"""The command line as one file, and as a plugin of kubectl.

Comes in: the lock and the sources. Goes out: a zipapp, and an archive with a manifest for krew. The
file has compiled parts: it runs on the system, the processor and the Python that made it, and its
name says which.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scripts.dist import archive
from scripts.dist.manifests import Release

ROOT = Path(__file__).resolve().parents[2]
BUILD_S = 900
PLUGIN = "kubectl-spotvortex"
PROCESSORS = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}

PREAMBLE = """\
import sys
if sys.version_info[:2] != {wanted}:
    sys.exit("spotvortex: this file was made for Python {named}; run it with python{named}")
"""


@dataclass(frozen=True, slots=True)
class Target:
    """For which machine a file is.

    Attributes:
        system: `linux` or `darwin`.
        processor: as Kubernetes calls it, `amd64` or `arm64`.
        python: the minor version, as in `3.12`.
    """

    system: str
    processor: str
    python: str

    @property
    def name(self) -> str:
        """What names of files say of it."""
        return f"{self.system}-{self.processor}-py{self.python.replace('.', '')}"


def here() -> Target:
    """Return the machine that this runs on."""
    major, minor = sys.version_info[:2]
    machine = platform.machine()
    return Target(
        platform.system().lower(), PROCESSORS.get(machine, machine.lower()), f"{major}.{minor}"
    )


def write_wheel(folder: Path) -> Path:
    """Write the wheel; return its place."""
    before = set(folder.glob("*.whl"))
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT))
    (wheel,) = set(folder.glob("*.whl")) - before or before
    return wheel


def write_zipapp(folder: Path, wheel: Path, release: Release) -> Path:
    """Write the zipapp of this machine, with every package of the lock; return its place."""
    target, site = here(), folder / "site-packages"
    locked = "--require-hashes", "-r", str(ROOT / "requirements.lock")
    _pip("install", "--no-deps", "--target", str(site), *locked)
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(site)
    preamble = folder / "preamble.py"
    preamble.write_text(PREAMBLE.format(wanted=sys.version_info[:2], named=target.python))
    place = folder / f"spotvortex-{release.version}-{target.name}.pyz"
    _run(
        *(str(Path(sys.executable).parent / "shiv"), "--site-packages", str(site)),
        *("--console-script", "spotvortex", "--preamble", str(preamble), "--reproducible"),
        *("--python", f"/usr/bin/env python{target.python}", "--output-file", str(place)),
    )
    shutil.rmtree(site)
    preamble.unlink()
    return place


def write_plugin(zipapp: Path) -> Path:
    """Write the archive that krew fetches; return its place."""
    place = zipapp.with_suffix(".tar.gz")
    archive.write(place, {PLUGIN: zipapp, "LICENSE": ROOT / "LICENSE"})
    return place


def krew_manifest(folder: Path, release: Release) -> dict[str, Any]:
    """Return what krew has to know of every archive in a folder."""
    archives = sorted(folder.glob(f"spotvortex-{release.version}-*-py*.tar.gz"))
    return {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": "spotvortex"},
        "spec": {
            "version": f"v{release.version}",
            "shortDescription": "Say how much of the cluster may run on Spot",
            "description": (
                "Looks at the cluster once, read-only: what there is to gain on Spot, what would "
                "break, what blocks each drain. `kubectl spotvortex assess` comes first."
            ),
            "caveats": "Needs the Python that the archive's name says, as in py312 for 3.12.",
            "platforms": [_platform(path, release) for path in archives],
        },
    }


def _platform(path: Path, release: Release) -> dict[str, Any]:
    before, processor, _ = path.name.rsplit("-", 2)
    labels = {"os": before.rpartition("-")[2], "arch": processor}
    return {
        "selector": {"matchLabels": labels},
        "uri": f"{release.address}/{path.name}",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "bin": PLUGIN,
        "files": [{"from": name, "to": "."} for name in (PLUGIN, "LICENSE")],
    }


def write_krew(folder: Path, release: Release) -> Path:
    """Write the manifest of the plugin; return its place."""
    place = folder / "krew-spotvortex.yaml"
    place.write_text(yaml.safe_dump(krew_manifest(folder, release), sort_keys=False), "utf-8")
    return place


def _pip(*words: str) -> None:
    _run(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *words)


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, timeout=BUILD_S, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:4])} ... ended with {done.returncode}")
