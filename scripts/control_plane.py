"""Start the local control plane by hand, print its kubeconfig, and stop it on Ctrl-C or SIGTERM."""

import argparse
import signal
import threading
from collections.abc import Sequence
from types import FrameType

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.fill import Scene, fill
from tests.controlplane.manifests import node_class_manifest, nodepool_manifest

PODS_PER_NODE = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the control plane until a signal comes.

    Args:
        arguments: the command line; that of the process by default.

    Returns:
        the exit code.
    """
    options = _parser().parse_args(arguments)
    try:
        with _plane(options) as plane:
            _set_scene(plane, options)
            print(plane.kubeconfig("admin"), flush=True)
            print(_hint(plane), flush=True)
            _await_signal()
            print("stopping", flush=True)
    except KeyboardInterrupt:
        return 130
    return 0


def _await_signal() -> None:
    ended = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    # A bounded wait lets signals in; the loop ends with the first one.
    while not ended.wait(0.5):
        pass


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.control_plane", description=__doc__)
    parser.add_argument("--kwok", action="store_true", help="play the kubelets of all nodes")
    parser.add_argument(
        "--karpenter",
        action="store_true",
        help="run Karpenter with a NodePool called `default` (and KWOK)",
    )
    parser.add_argument(
        "--fill",
        type=int,
        default=0,
        metavar="N",
        help=f"make N nodes and {PODS_PER_NODE} pods for each (and KWOK)",
    )
    return parser


def _plane(options: argparse.Namespace) -> ControlPlane:
    return ControlPlane(
        with_kwok=options.kwok or options.karpenter or options.fill > 0,
        with_karpenter=options.karpenter,
        karpenter_crds=True,
    )


def _set_scene(plane: ControlPlane, options: argparse.Namespace) -> None:
    if options.karpenter:
        plane.apply([node_class_manifest(), nodepool_manifest("default")])
    if options.fill > 0:
        fill(plane, Scene(n_nodes=options.fill, n_pods=PODS_PER_NODE * options.fill))


def _hint(plane: ControlPlane) -> str:
    users = ", ".join(("admin", "spotvortex-shadow", "reader", "nobody"))
    return f"{plane.url} serves the contexts {users}; Ctrl-C stops it"


if __name__ == "__main__":
    raise SystemExit(main())
