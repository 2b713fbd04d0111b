"""The command line as one file: it looks at a real cluster and runs a simulated one by itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.dist.manifests import Release
from scripts.dist.one_file import write_wheel, write_zipapp
from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane

pytestmark = [pytest.mark.wheel, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def zipapp(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    return write_zipapp(folder, write_wheel(folder), Release("0.1.0"))


@pytest.fixture
def bare(tmp_path_factory):
    """Nothing of this process's own, but where Python is."""
    home = str(tmp_path_factory.getbasetemp())
    path = os.pathsep.join((str(Path(sys.executable).resolve().parent), "/usr/bin", "/bin"))
    return {"HOME": home, "SHIV_ROOT": f"{home}/shiv", "PATH": path}


def test_it_tells_its_version_from_an_empty_folder(zipapp, bare, tmp_path):
    done = subprocess.run(
        [zipapp, "--version"], env=bare, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "0.1.0\n"


@pytest.mark.controlplane
def test_it_assesses_a_real_cluster(zipapp, bare, tmp_path, control_plane: ControlPlane):
    bare["KUBECONFIG"] = str(control_plane.kubeconfig("reader"))
    done = subprocess.run(
        [zipapp, "assess", "--output", "json"],
        env=bare,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "pools" in json.loads(done.stdout) or "decisions" in json.loads(done.stdout)


def test_it_runs_a_simulated_cluster(zipapp, bare, tmp_path):
    bare["SPOTVORTEX_HTTP_PORT"] = "0"
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen(
            [zipapp, "run", "--simulated", "--speed", "600"],
            env=bare | {"PYTHONUNBUFFERED": "1"},
            cwd=tmp_path,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: b"INCREASE" in (tmp_path / "out").read_bytes(), 240)
    finally:
        process.terminate()
        assert process.wait(60) == 0
