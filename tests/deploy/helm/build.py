"""Helm, built once from its Go module, which lies beside this file.

Comes in: nothing. Goes out: the path of the program, kept in the user's cache under a digest of the
module's files. Where it cannot be built the test is skipped, in CI it fails.
"""

import fcntl
import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from tests.controlplane.build import BuildError, cache_root, find_go

MODULE = Path(__file__).parent / "go"
PACKAGE = "helm.sh/helm/v3/cmd/helm"
BUILD_S = 1500


def find_helm() -> Path:
    """Return the path of helm, built where it is missing (some minutes on two cores)."""
    try:
        return _built(find_go())
    except BuildError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


def _built(go: Path) -> Path:
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum", "tools.go"):
        digest.update((MODULE / name).read_bytes())
    folder = cache_root().parent / "helm"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"helm-{digest.hexdigest()[:16]}"
    with target.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            part = target.with_suffix(".part")
            _go(go, "build", "-trimpath", "-ldflags", "-s -w", "-o", str(part), PACKAGE)
            part.rename(target)
    return target


def _go(go: Path, *arguments: str) -> None:
    fixed = {
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOWORK": "off",
    }
    done = subprocess.run(
        [str(go), *arguments],
        cwd=MODULE,
        env=os.environ | fixed,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BUILD_S,
        check=False,
    )
    if done.returncode:
        raise BuildError(f"go {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
