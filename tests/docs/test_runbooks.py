"""Every command of the runbooks, and of the pages beside them, done on a real API server.

One cluster, as a person would have it: the overlay is applied, a daemon leads, and the commands are
typed in the order of the pages; those that remove things come last.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.manifests import PodShape, deployment_manifest, namespace_manifest
from tests.docs.commands import Command, commands_of
from tests.e2e.equipment import scene
from tests.e2e.equipment.daemon import Daemon
from tests.e2e.equipment.prices import write_price_file
from tests.paths import ROOT

pytestmark = [
    pytest.mark.controlplane,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not here"),
]

DOCS = ROOT / "docs"
PAGES = (
    "operations.md",
    "console.md",
    "doctor.md",
    "commitments.md",
    "faq.md",
    "alerts.md",
    "runbooks.md",
    "upgrade.md",
    "uninstall.md",
)

ELSEWHERE = {
    "sh install.sh": "tests/scripts/dist/test_install.py",
    "helm install": "tests/deploy/helm/test_release.py",
    "make dist": "tests/scripts/dist/test_one_file.py",
    "make run": "tests/e2e/test_simulated.py",
}
"""Commands that a test of their own runs, by how they begin."""

LAST = ("spotvortex uninstall", "kubectl -n spotvortex delete", "kubectl delete -k")
"""What takes things away is typed last."""

BEFORE = {
    "xargs -r -I% kubectl patch": "kubectl cordon web-spot-1 && "
    "kubectl label node web-spot-1 spotvortex.io/cordoned=true",
    "xargs -r -I% kubectl annotate": "kubectl annotate node web-spot-1 spotvortex.io/kept=plan "
    "cluster-autoscaler.kubernetes.io/scale-down-disabled=true",
    "kubectl delete -k deploy/kustomize/overlays/shadow": "kubectl apply -k "
    "deploy/kustomize/overlays/shadow",
}
"""What has to be there for a command to find something, by what it contains."""

CODES = {
    "spotvortex uninstall": {0, 1},
    "spotvortex check": {0, 1, 2},
    "python -m spotvortex check": {0, 1, 2},
    "kubectl auth can-i": {0, 1},
}
"""Codes that say something of the cluster, and not of the command."""


@dataclass
class Desk:
    """Where a person sits: a folder with the files that the pages name, and a running daemon."""

    folder: Path
    daemon: Daemon
    environment: dict[str, str]

    def typed(self, text: str) -> subprocess.CompletedProcess[str]:
        """Type a command, with names of this cluster where the page has words for them."""
        (record, *_) = self.daemon.records()
        names = {
            "POOL": "web",
            "NODEPOOL": "web",
            "ACTION": "INCREASE_30",
            "NODE": "web-spot-0",
            "ID": record["id"],
            "REGISTRY": "registry.test",
            "PATH": str(ROOT / "models"),
        }
        words = re.compile(rf"(?<![\w-])({'|'.join(names)})(?![\w-])")
        line = words.sub(lambda found: names[found[1]], text)
        return subprocess.run(
            ["/bin/sh", "-c", line],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )


def all_commands() -> list[Command]:
    """Each command of the pages once; those that remove things last, in the order of leaving."""
    found: dict[str, Command] = {}
    for page in PAGES:
        for command in commands_of(DOCS / page):
            found.setdefault(command.text, command)
    leaving = [c for c in commands_of(DOCS / "uninstall.md") if c.text.startswith(LAST)]
    known = {c.text for c in leaving}
    more = [c for c in found.values() if c.text.startswith(LAST) and c.text not in known]
    return [*(c for c in found.values() if not c.text.startswith(LAST)), *leaving, *more]


def is_elsewhere(command: Command) -> bool:
    return command.text.startswith(tuple(ELSEWHERE))


TYPED = [c for c in all_commands() if c.is_run and not is_elsewhere(c)]


def with_files(folder: Path) -> Path:
    """Lay the files that the pages name beside what a clone has."""
    (folder / "deploy").symlink_to(ROOT / "deploy")
    shutil.copy(write_price_file(folder / "prices.jsonl"), folder / "prices.jsonl.gz")
    (folder / "commitments.json").write_text("{}")
    programs = folder / "bin"
    programs.mkdir()
    shim = programs / "spotvortex"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m spotvortex "$@"\n')
    shim.chmod(0o755)
    return programs


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    programs = with_files(folder)
    with ControlPlane(with_kwok=True, karpenter_crds=True) as plane:
        scene.build(plane)
        plane.apply([namespace_manifest(name) for name in ("spotvortex", "batch", "payments")])
        plane.apply([deployment_manifest(PodShape(app="web", namespace=scene.NAMESPACE))])
        variables = {
            "KUBECONFIG": str(plane.kubeconfig()),
            "SPOTVORTEX_PRICE_FILE": str(folder / "prices.jsonl"),
            # It leads, and every pool is looked at only: as the overlay `canary` has it.
            "SPOTVORTEX_MODE": "canary",
            "SPOTVORTEX_POOL_RULES": '{"*": {"mode": "shadow"}}',
        }
        with Daemon(folder, variables) as daemon:
            daemon.wait_ready()
            wait_until(daemon.records, 60)
            inherited = {k: v for k, v in os.environ.items() if not k.startswith("SPOTVORTEX_")}
            environment = inherited | {
                "KUBECONFIG": str(plane.kubeconfig()),
                "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
                "SPOTVORTEX_HTTP_PORT": str(daemon.port),
                "COLUMNS": "160",
            }
            yield Desk(folder, daemon, environment)


@pytest.mark.parametrize("command", TYPED, ids=[c.text for c in TYPED])
def test_a_command_of_a_page_does_what_the_page_says(desk: Desk, command: Command):
    is_leaving = command.page == "uninstall.md" or command.text.startswith(LAST)
    if is_leaving and desk.daemon.process.poll() is None:
        assert desk.daemon.stop() == 0
    for made in (line for part, line in BEFORE.items() if part in command.text):
        assert desk.typed(made).returncode == 0
    done = desk.typed(command.text)
    allowed = next((CODES[head] for head in CODES if command.text.startswith(head)), {0})
    assert done.returncode in allowed, f"{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    assert done.stdout or done.stderr


def test_what_has_a_test_of_its_own_has_one():
    for head, path in ELSEWHERE.items():
        assert head.split()[-1].removesuffix(".sh") in (ROOT / path).read_text()


def test_only_what_needs_a_pod_on_a_machine_is_not_run():
    marked = {c.text for c in all_commands() if not c.is_run}
    assert all(re.search(r" (logs|exec|port-forward) ", text) for text in marked), marked
