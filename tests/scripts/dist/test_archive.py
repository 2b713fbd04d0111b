"""Archives, checksums and krew's manifest of a release."""

import hashlib
import subprocess
import tarfile

import pytest
import yaml

from scripts.chart.__main__ import CHART
from scripts.dist import __main__ as dist
from scripts.dist import archive
from scripts.dist.manifests import Release
from scripts.dist.one_file import PLUGIN, krew_manifest, write_plugin
from tests.deploy.helm.build import find_helm

RELEASE = Release("0.1.0", "https://example.com/v0.1.0")


def test_an_archive_is_the_same_whenever_and_by_whomever_it_is_made(tmp_path):
    (tmp_path / "file").write_text("text")
    (tmp_path / "tool").write_text("text")
    (tmp_path / "tool").chmod(0o700)
    files = {"b": tmp_path / "file", "a": tmp_path / "tool"}
    archive.write(tmp_path / "one", files)
    (tmp_path / "file").touch()
    archive.write(tmp_path / "two", dict(reversed(files.items())))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    with tarfile.open(tmp_path / "one") as tar:
        assert [(m.name, m.mode, m.uid) for m in tar] == [("a", 0o755, 0), ("b", 0o644, 0)]


def test_krew_is_told_of_every_machine_that_has_a_file(tmp_path):
    for target in ("linux-amd64", "linux-arm64", "darwin-arm64"):
        zipapp = tmp_path / f"spotvortex-0.1.0-{target}-py312.pyz"
        zipapp.write_text(target)
        write_plugin(zipapp)
    (tmp_path / "spotvortex-0.0.9-linux-amd64-py312.tar.gz").write_text("another release's")
    found = krew_manifest(tmp_path, RELEASE)
    assert found["spec"]["version"] == "v0.1.0"
    platforms = found["spec"]["platforms"]
    labels = [tuple(p["selector"]["matchLabels"].values()) for p in platforms]
    assert labels == [("darwin", "arm64"), ("linux", "amd64"), ("linux", "arm64")]
    for platform in platforms:
        name = platform["uri"].removeprefix("https://example.com/v0.1.0/")
        packed = (tmp_path / name).read_bytes()
        assert hashlib.sha256(packed).hexdigest() == platform["sha256"]
        assert platform["bin"] == PLUGIN
        with tarfile.open(tmp_path / name) as tar:
            assert set(tar.getnames()) == {f["from"] for f in platform["files"]}


def test_the_list_of_checksums_names_every_file_but_itself(tmp_path):
    dist.make(tmp_path, RELEASE, ["sbom", "krew"])
    lines = (tmp_path / "SHA256SUMS").read_text().splitlines()
    names = {line.split("  ")[1] for line in lines}
    assert names == {"spotvortex-0.1.0.cdx.json", "krew-spotvortex.yaml"}
    dist.write_sums(tmp_path)
    assert (tmp_path / "SHA256SUMS").read_text().splitlines() == lines


@pytest.mark.program
@pytest.mark.timeout(1800)  # a first build of helm
def test_helm_takes_the_packed_chart(tmp_path):
    dist.make(tmp_path, RELEASE, ["chart"])
    (packed,) = tmp_path.glob("*.tgz")
    command = [str(find_helm()), "template", "x", str(packed), "--kube-version", "1.30.0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    kinds = {m["kind"] for m in yaml.safe_load_all(done.stdout) if m}
    assert {"Deployment", "ClusterRole"} <= kinds
    with tarfile.open(packed) as tar:
        there = {p.relative_to(CHART.parent).as_posix() for p in CHART.rglob("*") if p.is_file()}
        assert set(tar.getnames()) == there
