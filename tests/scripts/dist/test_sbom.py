"""The bill of materials names every package of the lock once, as CycloneDX does."""

import json
import sys

import pytest

from scripts.dist import sbom
from tests.paths import ROOT

LOCK = """aiohttp==3.14.5 \\
    --hash=sha256:00
importlib_metadata==10.2.0 ; python_full_version < '3.12' \\
    --hash=sha256:11
importlib-metadata==11.0.0 ; python_full_version >= '3.12' \\
    --hash=sha256:22
"""


def test_a_lock_is_read_with_normal_names_whatever_it_depends_on():
    assert sbom.locked(LOCK) == {
        ("aiohttp", "3.14.5"),
        ("importlib-metadata", "10.2.0"),
        ("importlib-metadata", "11.0.0"),
    }


def test_every_package_of_the_shipped_lock_is_a_component(tmp_path, monkeypatch):
    lock, target = ROOT / "requirements.lock", tmp_path / "sbom.json"
    monkeypatch.setattr(sys, "argv", ["sbom", str(lock), str(target)])
    assert sbom.main() == 0
    found = json.loads(target.read_text())
    assert (found["bomFormat"], found["specVersion"], found["version"]) == ("CycloneDX", "1.6", 1)
    names = [line.split("==")[0] for line in lock.read_text().splitlines() if "==" in line]
    pinned = {sbom.normal(name) for name in names if not name.startswith(" ")}
    assert {c["name"] for c in found["components"]} == pinned
    refs = [c["bom-ref"] for c in found["components"]]
    assert len(set(refs)) == len(refs) > 40
    assert all(c["purl"] == f"pkg:pypi/{c['name']}@{c['version']}" for c in found["components"])


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ({("a", "1")}, []),
        ({("a", "2")}, []),
        ({("a", "3"), ("c", "1")}, ["a 3 is installed and not locked", "c 1 is installed and not locked"]),
    ],
)
def test_what_is_installed_and_not_locked_is_named(there, said):
    assert sbom.differences({("a", "1"), ("a", "2"), ("b", "1")}, there) == said


def test_a_license_is_said_where_it_is_known():
    found = sbom.document({("a", "1"), ("b", "2")}, {"a": "MIT"})["components"]
    assert found[0]["licenses"] == [{"license": {"name": "MIT"}}]
    assert "licenses" not in found[1]
