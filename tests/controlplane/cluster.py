"""A whole Kubernetes control plane on loopback, as test equipment.

`ControlPlane` starts etcd, the API server, the controller manager and the
scheduler, and on demand KWOK (plays every kubelet) and Karpenter. It leaves no
process and no file behind, also when it is interrupted: servers die with us by
the kernel's doing, and folders of dead runs are removed at the next start.
"""

import json
import os
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import yaml

from tests.controlplane.api import Api, wait_until
from tests.controlplane.audit import AuditLog
from tests.controlplane.build import Assets, find_assets
from tests.controlplane.credentials import (
    make_users,
    write_audit_policy,
    write_kubeconfig,
    write_signing_key,
    write_token_file,
)
from tests.controlplane.processes import components, ending, etcd
from tests.controlplane.processes.components import LOOPBACK, Layout, Options
from tests.controlplane.processes.ports import free_port
from tests.controlplane.processes.process import (
    ControlPlaneError,
    Server,
    make_folder,
    remove_folder,
)

START_S = 90
STOP_S = 15
STAGES = Path(__file__).with_name("stages.yaml")
# Karpenter first, etcd last: an API server whose etcd has gone does not end on SIGTERM.
STOP_ORDER = (
    "karpenter",
    "kwok",
    "kube-scheduler",
    "kube-controller-manager",
    "kube-apiserver",
    "etcd",
)
READER_ROLE = "test-reader"


class ControlPlane:
    """One control plane; `start` and `stop` it, or use it as a context manager.

    Args:
        options: what it consists of.
        changes: single fields of `Options` by name, e.g. `with_kwok=True`.
    """

    def __init__(self, options: Options | None = None, **changes: Any) -> None:
        self.options = replace(options or Options(), **changes)
        self.users = make_users()
        self._assets: Assets | None = None
        self._layout: Layout | None = None
        self._servers: dict[str, Server] = {}
        self._apis: dict[str, Api] = {}

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- life ---------------------------------------------------------------

    def start(self) -> Self:
        """Start everything and wait until it answers.

        Raises:
            ControlPlaneError: a server ended or did not answer in time; nothing is left running.
        """
        self._assets = find_assets()
        self._assets.path("kube-controller-manager")  # a build, if any, comes before any server
        ending.register(self)
        try:
            self._prepare_folder()
            self._start_servers()
        except BaseException:
            self.stop(gently=False)
            raise
        return self

    def stop(self, *, gently: bool = True) -> None:
        """Stop every server in order and remove every file.

        Args:
            gently: ask each to end and give it some seconds; else kill at once.
        """
        try:
            for name in STOP_ORDER:
                self.stop_server(name, gently=gently)
        finally:
            # Only after an interruption is anything left here.
            for name in STOP_ORDER:
                self.stop_server(name, gently=False)
            if self._layout is not None:
                remove_folder(self._layout.folder)
            self._layout = None
            self._apis.clear()
            ending.unregister(self)

    def stop_server(self, name: str, *, gently: bool = True) -> None:
        """Stop one server, e.g. `kube-scheduler` or `karpenter`, if it runs."""
        server = self._servers.get(name)
        if server is None:
            return
        if gently:
            server.stop(STOP_S)
        else:
            server.kill()
        del self._servers[name]

    def _prepare_folder(self) -> None:
        self._layout = layout = Layout(
            folder=make_folder(),
            etcd_port=free_port(),
            etcd_peer_port=free_port(),
            api_port=free_port(),
        )
        layout.certificates.mkdir()
        write_token_file(layout.tokens, self.users)
        write_signing_key(layout.signing_key)
        write_audit_policy(layout.audit_policy)
        self.set_unavailable_offerings([])

    def _start_servers(self) -> None:
        self._launch("etcd", components.etcd(self.layout))
        wait_until(self._etcd_is_healthy, START_S, every_s=0.05)
        self.start_apiserver()
        self._write_reader_role()
        if self.options.with_controllers:
            self.start_controllers()
        if self.options.with_scheduler:
            self.start_scheduler()
        if self.options.needs_karpenter_crds:
            self.install_karpenter_crds()
        if self.options.with_kwok:
            self.start_kwok()
        if self.options.with_karpenter:
            self.start_karpenter()
        if self.options.with_controllers:
            self._await("kube-controller-manager", self._controllers_work)

    def start_apiserver(self) -> None:
        """Start the API server, on the same port and the same etcd as before, and await it."""
        arguments = components.kube_apiserver(self.layout, self.options)
        self._launch("kube-apiserver", arguments)
        self._await("kube-apiserver", self._apiserver_is_ready)

    def stop_apiserver(self) -> None:
        """Ask the API server to end and await that."""
        self.stop_server("kube-apiserver")

    def kill_apiserver(self) -> None:
        """Kill the API server with SIGKILL."""
        self.stop_server("kube-apiserver", gently=False)

    def start_controllers(self) -> None:
        """Start the controller manager."""
        kubeconfig = self.kubeconfig("controller-manager")
        self._launch(
            "kube-controller-manager",
            components.kube_controller_manager(kubeconfig, self.layout, self.options),
        )

    def start_scheduler(self) -> None:
        """Start the scheduler."""
        self._launch("kube-scheduler", components.kube_scheduler(self.kubeconfig("scheduler")))

    def start_kwok(self) -> None:
        """Start KWOK, which makes nodes Ready and runs their pods."""
        self._launch("kwok", components.kwok(self.kubeconfig("kwok"), STAGES))

    def start_karpenter(self) -> None:
        """Start Karpenter with its KWOK provider and await its first answer."""
        self.api().apply([_namespace("karpenter")])
        ports = (free_port(), free_port())
        environment = components.karpenter_environment(
            self.kubeconfig("karpenter"),
            self.layout,
            self.assets.path("instance-types.json"),
            ports,
        )
        self._launch("karpenter", [], environment | self.options.karpenter_environment)
        health = f"http://{LOOPBACK}:{ports[1]}/readyz"
        self._await("karpenter", lambda: etcd.http_body(health) is not None)

    def install_karpenter_crds(self) -> None:
        """Install the CRDs of Karpenter and of its KWOK provider."""
        paths = sorted(self.assets.path("crds").glob("*.yaml"))
        self.api().apply(yaml.load(path.read_text(), yaml.CSafeLoader) for path in paths)

    def _launch(self, name: str, arguments: list[str], env: dict[str, str] | None = None) -> None:
        if name in self._servers:
            raise ControlPlaneError(f"{name} runs already")
        folder = self.layout.folder
        # Nothing of the user's environment (proxies, kubeconfig, cloud credentials) gets in.
        environment = {"HOME": str(folder), "TMPDIR": str(folder), "PATH": os.defpath}
        environment["GOGC"] = "300"  # processor is scarcer than memory: they collect less often
        self._servers[name] = Server(
            name,
            [str(self.assets.path(name)), *arguments],
            log=folder / f"{name}.log",
            env=environment | (env or {}),
        )

    def _await(self, name: str, holds: Any) -> None:
        def answered() -> bool:
            self._servers[name].check()
            return bool(holds())

        try:
            wait_until(answered, START_S, every_s=0.05)
        except TimeoutError as error:
            raise ControlPlaneError(f"{name}: {error}\n{self._servers[name].log_tail()}") from error

    # -- access -------------------------------------------------------------

    @property
    def assets(self) -> Assets:
        """The programs in use."""
        if self._assets is None:
            raise ControlPlaneError("the control plane was not started")
        return self._assets

    @property
    def layout(self) -> Layout:
        """Folder and ports of the running control plane."""
        if self._layout is None:
            raise ControlPlaneError("the control plane does not run")
        return self._layout

    @property
    def url(self) -> str:
        """The URL of the API server."""
        return self.layout.api_url

    @property
    def ca_path(self) -> Path:
        """The certificate file that clients have to trust."""
        return self.layout.ca

    def token(self, user: str = "admin") -> str:
        """Return the bearer token of a user."""
        return self.users[user].token

    def username(self, user: str) -> str:
        """Return the name by which the API server, RBAC and the audit log know a user."""
        return self.users[user].username

    def kubeconfig(self, user: str = "admin", *, server: str | None = None) -> Path:
        """Return a kubeconfig file with a context for each user, the given one being current.

        Args:
            user: the user of the current context.
            server: another URL for the API server, e.g. that of a `LoopbackProxy`.
        """
        suffix = "" if server is None else f"-{server.rsplit(':', 1)[-1]}"
        path = self.layout.folder / f"kubeconfig-{user}{suffix}.json"
        if not path.exists():
            write_kubeconfig(
                path, self.users, server=server or self.url, ca=self.ca_path, current=user
            )
        return path

    def api(self, user: str = "admin") -> Api:
        """Return a blocking client that acts as a user."""
        if user not in self._apis:
            self._apis[user] = Api(self.url, self.token(user), self.ssl_context())
        return self._apis[user]

    def ssl_context(self) -> ssl.SSLContext:
        """Return a TLS context that trusts the API server."""
        return ssl.create_default_context(cafile=str(self.ca_path))

    def log(self, name: str) -> str:
        """Return the log of a server, also of one that has ended."""
        return (self.layout.folder / f"{name}.log").read_text(errors="replace")

    def pids(self) -> dict[str, int]:
        """Return the process ids of the running servers."""
        return {name: server.pid for name, server in self._servers.items()}

    # -- scenes -------------------------------------------------------------

    def apply(self, manifests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Create or change objects of any kind, as admin; return them as stored."""
        return self.api().apply(manifests)

    def grant(self, user: str, cluster_role: str) -> None:
        """Bind a user to a ClusterRole by its name, and wait until the server has taken note."""
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"test-{user}-{cluster_role}".replace(":", "-")},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": cluster_role,
            },
            "subjects": [
                {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "User",
                    "name": self.username(user),
                }
            ],
        }
        self.apply([binding])
        role = self.api().get(f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{cluster_role}")
        rule = next(rule for rule in role["rules"] if "resources" in rule)
        wait_until(lambda: self._may(user, rule))

    def _may(self, user: str, rule: dict[str, Any]) -> bool:
        """Ask whether a user may do the first of what a rule allows."""
        resource, _, part = rule["resources"][0].partition("/")
        asked = {
            "verb": rule["verbs"][0],
            "group": rule["apiGroups"][0],
            "resource": resource,
            "subresource": part,
            "name": rule.get("resourceNames", [""])[0],
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": self.username(user), "resourceAttributes": asked},
        }
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        return bool(self.api().must("POST", path, review)["status"]["allowed"])

    def set_unavailable_offerings(self, offerings: list[dict[str, str]]) -> None:
        """Name the offerings that Karpenter cannot launch from now on.

        Args:
            offerings: each with any of `instance_type`, `zone`, `capacity_type`; what is not
                named means any. `[{"capacity_type": "spot"}]` is the end of all spot capacity.
        """
        path = self.layout.unavailable_offerings
        new = path.with_suffix(".new")
        new.write_text(json.dumps(offerings))
        new.rename(path)

    def audit_events(self, user: str | None = None) -> list[dict[str, Any]]:
        """Return the audit events so far, oldest first.

        Args:
            user: only those of this user (a key of `users`).
        """
        audit = AuditLog(self.layout.audit_log)
        if "kube-apiserver" in self._servers:
            audit.await_written(self.api())
        return audit.events(None if user is None else self.username(user))

    # -- etcd ---------------------------------------------------------------

    def compact_etcd(self) -> int:
        """Drop all history from etcd; return the revision up to which it is gone."""
        return etcd.compact(self.layout.etcd_url)

    def expire_watches(self) -> None:
        """Restart the API server without any history: every earlier version then answers 410."""
        self.stop_apiserver()
        # Who has seen the very last version would otherwise go on from there.
        etcd.advance(self.layout.etcd_url)
        self.compact_etcd()
        self.start_apiserver()

    def _etcd_is_healthy(self) -> bool:
        self._servers["etcd"].check()
        return etcd.is_healthy(self.layout.etcd_url)

    def _apiserver_is_ready(self) -> bool:
        return self.ca_path.exists() and self.api().request("GET", "/readyz")[0] == 200

    def _controllers_work(self) -> bool:
        path = "/api/v1/namespaces/default/serviceaccounts/default"
        return self.api().request("GET", path)[0] == 200

    def _write_reader_role(self) -> None:
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": READER_ROLE},
            "rules": [
                {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]},
            ],
        }
        self.apply([role])
        self.grant("reader", READER_ROLE)


def _namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
