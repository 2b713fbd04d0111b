"""What kind of request a request is, read from method, path and body alone.

Comes in: what goes over the wire. Goes out: a name such as `mark` or `create-placeholder`; crash
points and faults are set by these names. Reads are called by verb and resource: `watch-nodes`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.witness.judge.names import ANCHOR, AT_RISK, DRAIN, KIND, PLACEHOLDER, RESTORE, STATE

MUTATING_METHODS = {"POST", "PUT", "PATCH", "DELETE"}
REVIEWS = {
    "selfsubjectaccessreviews",
    "selfsubjectreviews",
    "selfsubjectrulesreviews",
    "subjectaccessreviews",
    "tokenreviews",
}
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "update", "DELETE": "delete"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a path names; empty texts where it names none."""

    namespace: str = ""
    resource: str = ""
    name: str = ""
    subresource: str = ""


def target_of(path: str) -> Target:
    """Read a path of the Kubernetes API, without its query."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    skipped = 2 if parts[0] == "api" else 3
    if parts[0] not in ("api", "apis") or len(parts) <= skipped:
        return Target()
    rest, namespace = parts[skipped:], ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    rest += [""] * (3 - len(rest))
    return Target(namespace=namespace, resource=rest[0], name=rest[1], subresource=rest[2])


def classify(method: str, uri: str, body: bytes = b"") -> str:
    """Name the kind of a request.

    Args:
        method: the HTTP method.
        uri: path and query as sent.
        body: as sent.
    """
    parts = urlsplit(uri)
    target, query = target_of(parts.path), parse_qs(parts.query)
    if method not in MUTATING_METHODS:
        return _read(target, query)
    if target.resource in REVIEWS:
        return "review"
    if query.get("dryRun"):
        return "dry-run"
    return _write(method, target, query, _decoded(body))


def is_mutating(kind: str, method: str) -> bool:
    """Tell whether a request of this kind may change the cluster."""
    return method in MUTATING_METHODS and kind not in ("review", "dry-run")


def _read(target: Target, query: dict[str, list[str]]) -> str:
    if query.get("watch", [""])[0] in ("1", "true", "True"):
        return f"watch-{target.resource}"
    verb = "get" if target.name else "list"
    return f"{verb}-{target.resource}" if target.resource else "get-server"


def _write(method: str, target: Target, query: dict[str, list[str]], body: Any) -> str:
    if target.subresource == "eviction":
        return "evict"
    verb = _VERBS[method]
    match target.resource:
        case "nodes" | "nodepools":
            return _node_write(verb, target.resource.removesuffix("s"), body)
        case "pods":
            return _pod_write(verb, target, query, body)
        case "events":
            return "event"
        case "leases":
            return f"lease-{verb}"
        case "configmaps":
            name = target.name or _metadata(body).get("name", "")
            return f"state-{verb}" if name == STATE else f"{verb}-configmap"
        case "jobs":
            return "delete-tethers" if verb == "delete" and not target.name else f"{verb}-tether"
        case _:
            return f"{verb}-{target.resource.removesuffix('s') or 'nothing'}"


def _node_write(verb: str, thing: str, body: Any) -> str:
    notes = _metadata(body).get("annotations") or {}
    if DRAIN in notes:
        return "mark" if notes[DRAIN] is not None else "unmark"
    if AT_RISK in notes:
        return "note-risk" if notes[AT_RISK] is not None else "clear-risk"
    if RESTORE in notes:
        return "steer" if notes[RESTORE] is not None else "give-back"
    return f"{verb}-{thing}"


def _pod_write(verb: str, target: Target, query: dict[str, list[str]], body: Any) -> str:
    if verb == "create":
        kind = (_metadata(body).get("labels") or {}).get(KIND, "")
        return f"create-{kind}" if kind in (PLACEHOLDER, ANCHOR) else "create-pod"
    selector = ",".join(query.get("labelSelector", []))
    for kind in (PLACEHOLDER, ANCHOR):
        if verb == "delete" and not target.name and f"{KIND}={kind}" in selector:
            return f"delete-{kind}s"
    return f"{verb}-pod"


def _metadata(body: Any) -> dict[str, Any]:
    metadata = body.get("metadata") if isinstance(body, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body) if body else {}
    except ValueError:
        return {}
