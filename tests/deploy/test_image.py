"""The Dockerfile's steps, and what they make, run as the manifests run it: without a container.

The steps are carried out in a folder. Then the pod's command runs in a mount namespace of its own:
on a read-only root, as the pod's user, without capabilities, with the service account's token where
a kubelet puts it and the variables of the Deployment, against a real API server with the rights,
bounds and fence of the overlay. Only the address it listens on is another: loopback.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml

from spotvortex.core.domain import labels
from tests.controlplane.api import wait_until
from tests.controlplane.processes.ports import free_port
from tests.deploy.elsewhere import Elsewhere
from tests.deploy.manifests import ACTIVE, SHADOW, only, render
from tests.paths import ROOT

HOME = "as-a-pod"
SECRETS = "/run/secrets/kubernetes.io/serviceaccount"
USER = "65532"


def may_unshare():
    command = ["unshare", "--mount", "setpriv", "--version"]
    done = subprocess.run(command, capture_output=True, check=False)
    return os.getuid() == 0 and done.returncode == 0


pytestmark = [
    pytest.mark.controlplane,
    pytest.mark.wheel,
    pytest.mark.timeout(900),  # the image's libraries are installed
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl on PATH"),
    pytest.mark.skipif(not may_unshare(), reason="this user may make no mount namespace"),
]


def instructions():
    """The Dockerfile as (name, rest) pairs, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines()]
    return [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]


class Image:
    """What the Dockerfile makes, below one folder."""

    def __init__(self, folder: Path) -> None:
        self.root, self.at = folder, folder / "build"
        self.environment: dict[str, str] = {}
        self.command: list[str] = []
        for name, rest in instructions():
            getattr(self, f"_{name.lower()}")(rest)

    def _from(self, _image):
        self.environment = {}

    def _arg(self, _rest):
        """What a builder may say otherwise; the defaults are tried."""

    def _label(self, _rest):
        """What a registry shows."""

    def _healthcheck(self, _rest):
        """Kubernetes does not ask it; `test_dockerfile` does."""

    def _workdir(self, rest):
        self.at = self.root / rest.lstrip("/")
        self.at.mkdir()

    def _copy(self, rest):
        *options, source, target = shlex.split(rest)
        if options:
            # From an earlier stage, which lies in the same folder here.
            assert options == ["--from=build"]
            assert source == target
            return
        leave = shutil.ignore_patterns("__pycache__")
        found, into = ROOT / source, self.at / target
        if found.is_dir():
            shutil.copytree(found, into, symlinks=True, ignore=leave)
        else:
            shutil.copy2(found, into)

    def _run(self, rest):
        step = rest.replace("/venv", str(self.root / "venv"))
        step = step.replace("python -m venv", f"{sys._base_executable} -m venv", 1)
        subprocess.run(["sh", "-ec", step], cwd=self.at, check=True, timeout=600)

    def _env(self, rest):
        self.environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))

    def _user(self, rest):
        assert rest == f"{USER}:{USER}"

    def _expose(self, rest):
        assert rest == "8080"

    def _entrypoint(self, rest):
        self.command += yaml.safe_load(rest)

    def _cmd(self, rest):
        self.arguments = yaml.safe_load(rest)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return Image(tmp_path_factory.mktemp("image"))


class Pod:
    """One pod of the Deployment of an overlay, as a process."""

    def __init__(self, image, place, folder):
        self.image, self.place, self.folder = image, place, folder
        self.port = free_port()
        self.log = folder / "pod.log"
        secrets = folder / "secrets"
        secrets.mkdir()
        (secrets / "token").write_text(place.token)
        shutil.copy2(place.plane.ca_path, secrets / "ca.crt")

    def variables(self, overlay):
        (container,) = only(render(overlay), "Deployment")["spec"]["template"]["spec"]["containers"]
        paths = {
            "metadata.namespace": self.place.namespace,
            "metadata.name": "spotvortex-0",
            "spec.nodeName": "node-0",
            "status.podIP": "127.0.0.1",
        }
        found = {
            e["name"]: e["value"]
            if "value" in e
            else paths[e["valueFrom"]["fieldRef"]["fieldPath"]]
            for e in container["env"]
            if "secretKeyRef" not in e.get("valueFrom", {})  # optional, and not there
        }
        # What the image sets, and what the kubelet and the container runtime add.
        found |= self.image.environment | {
            "HOME": "/",
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": self.place.plane.url.rpartition(":")[2],
        }
        found["PATH"] = found["PATH"].replace("/venv", "/run/image/venv")
        found["PATH"] = found["PATH"].replace("$PATH", os.environ["PATH"])
        return found | {"SPOTVORTEX_HTTP_HOST": "127.0.0.1", "SPOTVORTEX_HTTP_PORT": str(self.port)}

    def start(self, overlay, *arguments):
        """Run the image's command with other arguments where some are given."""
        (container,) = only(render(overlay), "Deployment")["spec"]["template"]["spec"]["containers"]
        assert not container.keys() & {"command", "args"}, "the image's own are run here"
        command = [*self.image.command, *(arguments or self.image.arguments)]
        variables = [f"{name}={value}" for name, value in self.variables(overlay).items()]
        # setpriv takes rights away as a kubelet does; env leaves nothing of this process's own.
        bare = "setpriv --reuid 65532 --regid 65532 --clear-groups --no-new-privs"
        none = "--bounding-set=-all --inh-caps=-all"
        steps = [
            "mount -t tmpfs tmpfs /run",
            f"mkdir -p /run/image {SECRETS}",
            *_readable_python(),
            f"mount --bind {shlex.quote(str(self.image.root))} /run/image",
            f"cp {shlex.quote(str(self.folder))}/secrets/* {SECRETS}",
            f"chmod 0644 {SECRETS}/*",
            "mount -o remount,ro,bind /",
            "mount -o remount,ro /run",
            "cd /run/image/app",
            f"exec {bare} {none} env -i {shlex.join(variables)} {shlex.join(command)}",
        ]
        self.image.root.chmod(0o755)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-ec", "\n".join(steps)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self.process

    def page(self, path):
        """The status of a page, 0 where nobody answers."""
        try:
            url = f"http://127.0.0.1:{self.port}{path}"
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status
        except OSError:
            return 0

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)


def _readable_python():
    """Steps by which the pod's user can read this machine's Python, if it lies in a home."""
    base = Path(sys.base_prefix)
    home = Path(*base.parts[:2])
    if str(home) not in ("/root", "/home"):
        return
    yield "mkdir /run/python"
    yield f"mount --bind {shlex.quote(str(base))} /run/python"
    yield f"mount -t tmpfs -o mode=755 tmpfs {home}"
    yield f"mkdir -p {shlex.quote(str(base))}"
    yield f"mount --bind /run/python {shlex.quote(str(base))}"


@pytest.fixture
def pod(request, control_plane, image, tmp_path):
    place = Elsewhere(control_plane, request.param, f"{HOME}-{request.param.name}", tmp_path)
    found = Pod(image, place, tmp_path)
    yield found
    found.end()
    place.clear()


@pytest.mark.parametrize("pod", [ACTIVE], indirect=True)
def test_the_active_pod_leads_serves_its_probes_and_stops_in_time(pod):
    pod.start(ACTIVE)
    template = only(render(ACTIVE), "Deployment")["spec"]["template"]["spec"]
    (container,) = template["containers"]
    for probe in ("livenessProbe", "readinessProbe"):
        path = container[probe]["httpGet"]["path"]
        wait_until(lambda path=path: pod.page(path) == 200, 90)
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{pod.place.namespace}/leases"
    lease = f"{leases}/{labels.LEASE}"
    wait_until(lambda: pod.place.admin.request("GET", lease)[0] == 200, 30)
    holder = pod.place.admin.get(lease)["spec"]["holderIdentity"]
    assert holder.startswith("spotvortex-0_")
    pod.process.send_signal(signal.SIGTERM)
    assert pod.process.wait(template["terminationGracePeriodSeconds"]) == 0
    said = pod.log.read_text()
    assert 'on="in-cluster (https://127.0.0.1:' in said
    assert "Traceback" not in said


@pytest.mark.parametrize("pod", [SHADOW], indirect=True)
def test_in_the_shadow_pod_check_says_what_it_lacks_and_nothing_is_wrong(pod):
    """Prices and commitments are its owner's, and named with the fix; the memory has its place."""

    def code():
        pod.log.write_text("")
        return pod.start(SHADOW, "check").wait(60)

    # Rights are taken up in their own time.
    wait_until(lambda: code() == 1, 60)
    found = [line.split()[:2] for line in pod.log.read_text().splitlines()]
    assert not [words for words in found if words[0] == "wrong"]
    assert [name for finding, name in found if finding == "missing"] == ["prices", "commitments"]
