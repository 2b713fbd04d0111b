"""The software bill of materials of a lock file, as CycloneDX 1.6.

Usage: python sbom.py [--installed] LOCK TARGET

Comes in: a lock of `name==version` lines. Goes out: one JSON document, the same bytes for the same
lock. With `--installed` it names what this interpreter has of the lock, with licenses, and ends in
error where another version or another package is there. Needs the standard library alone, since it
runs in the image's build too.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Set
from importlib import metadata
from pathlib import Path
from typing import Any

PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==([^\s;\\]+)", re.MULTILINE)


Package = tuple[str, str]
"""A normal name and a version."""


def locked(text: str) -> set[Package]:
    """Return every package of a lock; of some it has a version for each Python."""
    return {(normal(name), version) for name, version in PINNED.findall(text)}


def normal(name: str) -> str:
    """Return the name of a package as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed() -> set[Package]:
    """Return every package that this interpreter has."""
    return {(normal(found.metadata["Name"]), found.version) for found in metadata.distributions()}


def differences(lock: Set[Package], there: Set[Package]) -> list[str]:
    """Name every package that is there and is not the lock's own."""
    return [f"{name} {version} is installed and not locked" for name, version in sorted(there - lock)]


def document(packages: Set[Package], licenses: Mapping[str, str]) -> dict[str, Any]:
    """Return the bill of materials of packages, licenses by name."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "spotvortex"}},
        "components": [_component(n, v, licenses.get(n, "")) for n, v in sorted(packages)],
    }


def _component(name: str, version: str, license_name: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{version}"
    found = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    said = {"licenses": [{"license": {"name": license_name}}]} if license_name else {}
    return found | said


def _license(name: str) -> str:
    found = metadata.metadata(name)
    said = found.get("License-Expression") or found.get("License") or ""
    return said.splitlines()[0][:100] if said.strip() else ""


def main() -> int:
    """Write the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--installed", action="store_true", help="name what is installed")
    parser.add_argument("lock", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    packages, licenses = locked(options.lock.read_text("utf-8")), {}
    if options.installed:
        there = installed()
        found = differences(packages, there)
        if found:
            print("\n".join(found), file=sys.stderr)
            return 1
        packages, licenses = there, {name: _license(name) for name, _ in there}
    text = json.dumps(document(packages, licenses), indent=1) + "\n"
    options.target.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
