"""The installer of a release: what it says, what it does to a real cluster, and what it refuses."""

import hashlib
import shutil
import subprocess

import pytest

from scripts.dist.manifests import INSTALLER, Release, write
from spotvortex.core.domain import labels
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.manifests import node_manifest

pytestmark = [
    pytest.mark.program,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not here"),
]


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("release")
    write(folder, Release("0.1.0"))
    return folder


def run(release, *words, env=None):
    return subprocess.run(
        [str(release / "install.sh"), *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=env,
    )


def refused(release, *words):
    done = run(release, *words)
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


def test_the_same_sources_give_the_same_bytes(release, tmp_path):
    write(tmp_path, Release("0.1.0"))
    files = sorted(path.name for path in release.iterdir())
    assert files == sorted(path.name for path in tmp_path.iterdir())
    assert all((release / n).read_bytes() == (tmp_path / n).read_bytes() for n in files)


def test_it_knows_the_checksum_of_every_file(release):
    text = (release / "install.sh").read_text()
    for path in release.glob("*.yaml"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() in text
    assert "'@" not in text


def test_a_file_that_is_not_the_releases_own_is_refused(release, tmp_path):
    shutil.copytree(release, tmp_path / "other")
    with (tmp_path / "other" / "spotvortex-0.1.0-shadow.yaml").open("a") as file:
        file.write("# more\n")
    assert "has the checksum" in refused(release, "--from", str(tmp_path / "other"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--mode", "aktive", "--from", "/tmp"), "give shadow, advise, canary or active"),
        (("--form", "/tmp"), "unknown option --form"),
        (("--mode",), "--mode needs a value"),
        ((), "say where its manifests are by --from"),
        (("--from", "/nowhere"), "there is no spotvortex-0.1.0-shadow.yaml in /nowhere"),
        (("--from", "/tmp", "--image", "a b"), "is no name of an image"),
    ],
)
def test_a_mistake_is_told_before_anything_is_done(release, words, said):
    assert said in refused(release, *words)


def test_the_one_of_the_sources_knows_no_checksum_and_says_so():
    assert "make dist" in refused(INSTALLER.parent)


KUBECTL = """#!/bin/sh
case "$*" in
    *"get $FAILS"*) echo "Error from server ($WHY): no answer" >&2; exit 1 ;;
esac
"""


@pytest.mark.parametrize(
    ("fails", "why", "goes_on"),
    [
        ("nodes", "ServiceUnavailable", False),
        ("-n spotvortex configmap", "ServiceUnavailable", False),
        ("-n spotvortex configmap", "NotFound", True),
        ("nodepools.karpenter.sh", "Forbidden", False),
    ],
)
def test_marks_that_cannot_be_looked_for_keep_everything(release, tmp_path, fails, why, goes_on):
    program = tmp_path / "kubectl"
    program.write_text(KUBECTL)
    program.chmod(0o755)
    paths = f"{tmp_path}:/usr/local/bin:/usr/bin:/bin"
    said = {"PATH": paths, "FAILS": fails, "WHY": why}
    done = run(release, "--uninstall", "--apply", "--from", str(release), env=said)
    assert (done.returncode == 0) is goes_on, done.stderr
    assert goes_on or f"({why})" in done.stderr


@pytest.fixture
def cluster(fresh_control_plane, release):
    plane: ControlPlane = fresh_control_plane(karpenter_crds=True)
    kubeconfig = {"KUBECONFIG": str(plane.kubeconfig()), "PATH": "/usr/local/bin:/usr/bin:/bin"}

    def installer(*words, **env):
        return run(release, *words, "--from", str(release), env=kubeconfig | env)

    return plane.api(), installer


@pytest.mark.controlplane
def test_it_looks_installs_waits_for_marks_and_removes(cluster):
    api, installer = cluster
    namespace = "/api/v1/namespaces/spotvortex"
    looked = installer("--mode", "active")
    assert looked.returncode == 0, looked.stderr
    assert "nothing was changed" in looked.stderr
    assert api.request("GET", namespace)[0] == 404

    done = installer("--mode", "active", "--image", "example.com/spotvortex:1", "--apply")
    assert done.returncode == 0, done.stderr
    deployment = api.get("/apis/apps/v1/namespaces/spotvortex/deployments/spotvortex")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "example.com/spotvortex:1"
    assert "server dry run" in installer("--mode", "active").stdout

    marked = node_manifest("marked")
    marked["metadata"]["labels"] |= {labels.CORDONED: labels.CORDONED_VALUE}
    api.create(marked)
    assert "node/marked" in installer("--uninstall").stdout
    left = installer("--uninstall", "--apply", SPOTVORTEX_LEAVE_S="1")
    assert left.returncode == 1
    assert "node/marked" in left.stderr
    freeze = api.get(f"{namespace}/configmaps/{labels.FREEZE}")
    assert freeze["data"] == {"leave": "true"}
    api.delete("/api/v1/nodes/marked")

    looked = installer("--uninstall")
    assert "deployment.apps/spotvortex" in looked.stdout
    assert "nothing was changed" in looked.stderr
    done = installer("--uninstall", "--apply")
    assert done.returncode == 0, done.stderr
    for path in (
        namespace,
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/spotvortex",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/spotvortex-active",
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/spotvortex-nodes",
        "/apis/scheduling.k8s.io/v1/priorityclasses/spotvortex-placeholder",
    ):
        assert api.request("GET", path)[0] == 404
