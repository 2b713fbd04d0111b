"""The command lines of the servers: values in, argument lists out.

Everything listens on 127.0.0.1 only. Nothing here starts a process.
"""

from dataclasses import dataclass, field
from pathlib import Path

LOOPBACK = "127.0.0.1"

# For scenes whose ReplicaSets and pods are written by hand: these controllers would mend them.
STATIC_CONTROLLERS = "*,-deployment-controller,-replicaset-controller,-statefulset-controller"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a control plane consists of and how it behaves."""

    with_controllers: bool = True
    with_scheduler: bool = True
    with_kwok: bool = False
    with_karpenter: bool = False
    karpenter_crds: bool = False
    audit: bool = True
    controllers: str = "*"
    watch_cache: bool = True
    watch_cache_size: int | None = None  # events kept for a resource, for those with a default size
    # None: 50 s as usual where KWOK renews leases, else for ever (nobody would).
    node_grace_s: int | None = None
    apiserver_flags: tuple[str, ...] = ()
    karpenter_environment: dict[str, str] = field(default_factory=dict)

    @property
    def needs_karpenter_crds(self) -> bool:
        """Whether the CRDs of Karpenter belong to this control plane."""
        return self.karpenter_crds or self.with_karpenter


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where things lie and which ports are taken."""

    folder: Path
    etcd_port: int
    etcd_peer_port: int
    api_port: int

    @property
    def etcd_url(self) -> str:
        """The client URL of etcd."""
        return f"http://{LOOPBACK}:{self.etcd_port}"

    @property
    def api_url(self) -> str:
        """The URL of the API server."""
        return f"https://{LOOPBACK}:{self.api_port}"

    @property
    def certificates(self) -> Path:
        """The folder in which the API server makes its own certificate."""
        return self.folder / "certificates"

    @property
    def ca(self) -> Path:
        """The certificate that clients trust: leaf and CA in one file."""
        return self.certificates / "apiserver.crt"

    @property
    def tokens(self) -> Path:
        """The static token file."""
        return self.folder / "tokens.csv"

    @property
    def signing_key(self) -> Path:
        """The key of service account tokens."""
        return self.folder / "service-account.key"

    @property
    def audit_policy(self) -> Path:
        """The audit policy."""
        return self.folder / "audit-policy.json"

    @property
    def audit_log(self) -> Path:
        """The audit log, JSON lines."""
        return self.folder / "audit.log"

    @property
    def unavailable_offerings(self) -> Path:
        """The list of offerings that our Karpenter cannot launch."""
        return self.folder / "unavailable-offerings.json"


def etcd(layout: Layout) -> list[str]:
    """Return the arguments of etcd."""
    peer = f"http://{LOOPBACK}:{layout.etcd_peer_port}"
    return [
        "--name=local",
        f"--data-dir={layout.folder / 'etcd'}",
        f"--listen-client-urls={layout.etcd_url}",
        f"--advertise-client-urls={layout.etcd_url}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=local={peer}",
        "--unsafe-no-fsync",
        "--quota-backend-bytes=8589934592",
        "--log-level=warn",
    ]


def kube_apiserver(layout: Layout, options: Options) -> list[str]:
    """Return the arguments of the API server."""
    arguments = [
        f"--etcd-servers={layout.etcd_url}",
        f"--bind-address={LOOPBACK}",
        f"--advertise-address={LOOPBACK}",
        f"--secure-port={layout.api_port}",
        f"--cert-dir={layout.certificates}",
        "--service-cluster-ip-range=10.96.0.0/16",
        # A loopback address may not be an endpoint of the service `kubernetes`.
        "--endpoint-reconciler-type=none",
        "--authorization-mode=RBAC",
        f"--token-auth-file={layout.tokens}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={layout.signing_key}",
        f"--service-account-signing-key-file={layout.signing_key}",
        "--disable-admission-plugins=ServiceAccount",
        "--allow-privileged=true",
        "--max-requests-inflight=3000",
        "--max-mutating-requests-inflight=1500",
        f"--watch-cache={str(options.watch_cache).lower()}",
    ]
    if options.watch_cache_size is not None:
        arguments.append(f"--default-watch-cache-size={options.watch_cache_size}")
    if options.audit:
        arguments += [
            f"--audit-policy-file={layout.audit_policy}",
            f"--audit-log-path={layout.audit_log}",
            # Large enough that the log is never cut while a test reads it.
            "--audit-log-maxsize=4096",
        ]
    return [*arguments, *options.apiserver_flags]


def kube_controller_manager(kubeconfig: Path, layout: Layout, options: Options) -> list[str]:
    """Return the arguments of the controller manager."""
    grace_s = options.node_grace_s
    if grace_s is None:
        grace_s = 50 if options.with_kwok else 10 * 365 * 24 * 3600
    return [
        f"--kubeconfig={kubeconfig}",
        f"--bind-address={LOOPBACK}",
        "--secure-port=0",
        "--leader-elect=false",
        f"--controllers={options.controllers}",
        f"--node-monitor-grace-period={grace_s}s",
        "--node-monitor-period=2s",
        f"--service-account-private-key-file={layout.signing_key}",
        "--kube-api-qps=1000",
        "--kube-api-burst=2000",
    ]


def kube_scheduler(kubeconfig: Path) -> list[str]:
    """Return the arguments of the scheduler."""
    return [
        f"--kubeconfig={kubeconfig}",
        f"--bind-address={LOOPBACK}",
        "--secure-port=0",
        "--leader-elect=false",
        "--kube-api-qps=1000",
        "--kube-api-burst=2000",
    ]


def kwok(kubeconfig: Path, stages: Path) -> list[str]:
    """Return the arguments of KWOK, which plays the kubelet of every node."""
    return [
        f"--kubeconfig={kubeconfig}",
        f"--config={stages}",
        "--manage-all-nodes=true",
        "--node-lease-duration-seconds=40",
        "--cidr=10.244.0.0/16",
        "--node-ip=10.0.0.1",
    ]


def karpenter_environment(
    kubeconfig: Path, layout: Layout, instance_types: Path, ports: tuple[int, int]
) -> dict[str, str]:
    """Return the environment of Karpenter, which takes no arguments."""
    metrics_port, health_port = ports
    return {
        "KUBECONFIG": str(kubeconfig),
        "INSTANCE_TYPES_FILE_PATH": str(instance_types),
        "UNAVAILABLE_OFFERINGS_FILE_PATH": str(layout.unavailable_offerings),
        "DISABLE_LEADER_ELECTION": "true",
        "METRICS_PORT": str(metrics_port),
        "HEALTH_PROBE_PORT": str(health_port),
        "SYSTEM_NAMESPACE": "karpenter",
        "FEATURE_GATES": "NodeOverlay=true",
        "BATCH_IDLE_DURATION": "300ms",
        "BATCH_MAX_DURATION": "2s",
    }
