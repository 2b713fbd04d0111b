"""Programs that tests take from packages of the system.

Comes in: the name of a program. Goes out: where it is; root installs its package where it is
missing, once for all workers. Where it cannot be had the test is skipped, in CI it fails. May not
be used for what the project itself needs to run.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

INSTALL_S = 900
LOCK = Path(tempfile.gettempdir()) / "spotvortex-tests-packages.lock"


class MissingProgramError(RuntimeError):
    """A program is not there and cannot be installed; the text says what to install."""


def find_program(name: str, package: str = "") -> str:
    """Return the path of a program.

    Args:
        name: what it is called.
        package: the package that brings it, where that is called otherwise.

    Raises:
        MissingProgramError: in CI, where it is not there and cannot be installed.
    """
    try:
        with LOCK.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return shutil.which(name) or _installed(name, package or name)
    except MissingProgramError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


def _installed(name: str, package: str) -> str:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise MissingProgramError(f"{name} is missing: `apt-get install {package}`")
    for words in (["update"], ["install", "--no-install-recommends", "-y", package]):
        done = subprocess.run(
            ["apt-get", "-qq", *words],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            capture_output=True,
            text=True,
            timeout=INSTALL_S,
            check=False,
        )
        if done.returncode:
            raise MissingProgramError(f"apt-get {words[0]} {package}: {done.stderr[-500:]}")
    found = shutil.which(name)
    if found is None:
        raise MissingProgramError(f"the package {package} brings no {name}")
    return found
