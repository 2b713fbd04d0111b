"""Users, tokens, keys and kubeconfig files of the local control plane."""

import base64
import json
import secrets
from dataclasses import dataclass
from pathlib import Path

# SEC1 ECPrivateKey for the curve P-256: version 1, 32 random bytes, the curve's object id.
_EC_KEY_HEAD = bytes.fromhex("30310201010420")
_EC_KEY_TAIL = bytes.fromhex("a00a06082a8648ce3d030107")

OUR_NAMESPACE = "spotvortex"
SHADOW_USER = "system:serviceaccount:spotvortex:spotvortex"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One user with a static token."""

    name: str  # what tests and kubeconfig contexts call it
    username: str  # what the API server calls it
    groups: tuple[str, ...]
    token: str


USERS = {
    "admin": ("admin", ("system:masters",)),
    "spotvortex-shadow": (
        SHADOW_USER,
        ("system:serviceaccounts", "system:serviceaccounts:spotvortex", "system:authenticated"),
    ),
    # A user of its own, so that no test of shadow meets a right that another test has granted.
    "spotvortex-active": (
        "system:serviceaccount:active:spotvortex",
        ("system:serviceaccounts", "system:serviceaccounts:active", "system:authenticated"),
    ),
    # May do everything by its rights, so that a fence alone holds it back.
    "spotvortex-wide": ("system:serviceaccount:wide:spotvortex", ("system:authenticated",)),
    # Two replicas of one account: the same name and rights, told apart by uid in the audit log.
    "replica-a": (SHADOW_USER, ("system:serviceaccounts", "system:authenticated")),
    "replica-b": (SHADOW_USER, ("system:serviceaccounts", "system:authenticated")),
    "reader": ("reader", ()),
    "nobody": ("nobody", ()),
    # The servers have users of their own, so that the audit log tells their writes from ours.
    "controller-manager": ("system:kube-controller-manager", ("system:masters",)),
    "scheduler": ("system:kube-scheduler", ("system:masters",)),
    "kwok": ("kwok", ("system:masters",)),
    "karpenter": ("karpenter", ("system:masters",)),
}
COMPONENTS = ("controller-manager", "scheduler", "kwok", "karpenter")


def make_users() -> dict[str, User]:
    """Return all users, each with a fresh random token."""
    return {
        name: User(name=name, username=username, groups=groups, token=secrets.token_hex(16))
        for name, (username, groups) in USERS.items()
    }


def write_token_file(path: Path, users: dict[str, User]) -> None:
    """Write the users in the form of the flag `--token-auth-file`."""
    lines = [
        f'{user.token},{user.username},uid-{user.name},"{",".join(user.groups)}"'
        for user in users.values()
    ]
    _write_private(path, "\n".join(lines) + "\n")


def write_signing_key(path: Path) -> None:
    """Write a fresh P-256 key that signs service account tokens."""
    # Any 32 bytes below the curve's order are a key; the first byte 0x7f or less ensures that.
    number = bytes([secrets.randbelow(0x80)]) + secrets.token_bytes(31)
    body = base64.b64encode(_EC_KEY_HEAD + number + _EC_KEY_TAIL).decode()
    lines = "\n".join(body[i : i + 64] for i in range(0, len(body), 64))
    _write_private(path, f"-----BEGIN EC PRIVATE KEY-----\n{lines}\n-----END EC PRIVATE KEY-----\n")


def write_audit_policy(path: Path) -> None:
    """Write a policy that notes every request of ours, and the writes of the servers.

    Bodies are kept where a witness needs them: evictions, leases, the objects in our namespace,
    changes of nodes and NodeClaims by anybody but the servers. Creations of nodes are not among
    them, so that filling a large scene leaves a small log.
    """
    servers = [USERS[name][0] for name in COMPONENTS]
    writes = ["create", "update", "patch", "delete", "deletecollection"]
    changes = writes[1:]
    rules = [
        {"level": "None", "users": ["system:apiserver"]},
        {
            "level": "None",
            "users": servers,
            "resources": [{"group": "coordination.k8s.io"}, {"group": "events.k8s.io"}],
        },
        {"level": "None", "users": servers, "verbs": ["get", "list", "watch"]},
        _with_bodies("", ["pods/eviction"], writes),
        _with_bodies("", ["pods", "pods/binding"], writes) | {"namespaces": [OUR_NAMESPACE]},
        {"level": "Metadata", "users": servers},
        _with_bodies("coordination.k8s.io", ["leases"], writes),
        # Of the state the request is enough: the answer would only say it again.
        _with_bodies("", ["configmaps"], writes)
        | {"namespaces": [OUR_NAMESPACE], "level": "Request"},
        _with_bodies("", ["nodes"], changes),
        _with_bodies("karpenter.sh", ["nodeclaims", "nodepools"], changes),
        {"level": "Metadata"},
    ]
    policy = {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": rules,
    }
    path.write_text(json.dumps(policy))


def _with_bodies(group: str, resources: list[str], verbs: list[str]) -> dict[str, object]:
    return {
        "level": "RequestResponse",
        "verbs": verbs,
        "resources": [{"group": group, "resources": resources}],
        "omitManagedFields": True,
    }


def write_kubeconfig(
    path: Path, users: dict[str, User], *, server: str, ca: Path, current: str
) -> None:
    """Write a kubeconfig with one context for each user, named like the user."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": current,
        "clusters": [
            {
                "name": "local",
                "cluster": {"server": server, "certificate-authority": str(ca)},
            }
        ],
        "users": [{"name": user.name, "user": {"token": user.token}} for user in users.values()],
        "contexts": [
            {"name": name, "context": {"cluster": "local", "user": name, "namespace": "default"}}
            for name in users
        ],
    }
    # JSON is YAML, and every client reads it.
    _write_private(path, json.dumps(config, indent=1))


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
