"""axe-core, which judges a page's accessibility in the browser itself.

Comes in: nothing. Goes out: its script, of one version with a digest, fetched by npm once and kept
in the folder of built test equipment. Where it cannot be had the test is skipped, in CI it fails.
Nothing of it is part of the product.
"""

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest

VERSION = "4.10.3"
SHA512 = "Xm7bpRXnDSX2YE2YFfBk2FnF0ep6tmG7xPh8iHee8MIcrgq762Nkce856dYtJYLkuIoYZvGfTs/PbZhideTcEg=="
"""Of the package as npm serves it (MPL-2.0)."""

FETCH_S = 120
KEPT = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "spotvortex" / "axe"


def script() -> str:
    """Return the script of axe-core."""
    package = KEPT / f"axe-core-{VERSION}.tgz"
    if not package.exists():
        _fetch(package)
    found = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
    assert found == SHA512, f"{package} is not what was expected; remove it"
    with tarfile.open(package) as archive:
        file = archive.extractfile("package/axe.min.js")
        assert file is not None
        return file.read().decode()


def _fetch(package: Path) -> None:
    npm = shutil.which("npm")
    why = "npm is missing" if npm is None else ""
    if npm is not None:
        with tempfile.TemporaryDirectory() as folder:
            words = [npm, "pack", "--silent", f"axe-core@{VERSION}"]
            done = subprocess.run(
                words, cwd=folder, capture_output=True, text=True, timeout=FETCH_S, check=False
            )
            if done.returncode == 0:
                KEPT.mkdir(parents=True, exist_ok=True)
                shutil.move(Path(folder) / package.name, package)
                return
            why = f"npm pack axe-core: {done.stderr[-300:]}"
    if os.environ.get("CI"):
        raise RuntimeError(why)
    pytest.skip(why)
