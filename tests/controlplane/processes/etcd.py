"""What tests ask of etcd itself, over its JSON gateway."""

import json
import urllib.request
from base64 import b64encode
from typing import Any

# Loopback is never reached through a proxy, whatever the environment says.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def http_body(url: str, body: dict[str, Any] | None = None) -> bytes | None:
    """Return the body of a 200 answer to a GET, or to a POST of a JSON body; else None."""
    data = None if body is None else json.dumps(body).encode()
    try:
        with _direct.open(urllib.request.Request(url, data=data), timeout=10) as response:
            return response.read() if response.status == 200 else None
    except OSError:
        return None


def is_healthy(url: str) -> bool:
    """Say whether etcd serves."""
    return http_body(f"{url}/health") is not None


def compact(url: str) -> int:
    """Drop all history; return the revision up to which it is gone.

    Raises:
        ConnectionError: etcd did not do it.
    """
    one_key = {"key": b64encode(b"\0").decode(), "limit": 1}
    head = http_body(f"{url}/v3/kv/range", one_key)
    if head is None:
        raise ConnectionError("etcd did not answer")
    revision = json.loads(head)["header"]["revision"]
    if http_body(f"{url}/v3/kv/compaction", {"revision": revision, "physical": True}) is None:
        raise ConnectionError(f"etcd did not compact to revision {revision}")
    return int(revision)


def advance(url: str) -> None:
    """Make one more revision, by a key that is nobody's.

    Raises:
        ConnectionError: etcd did not do it.
    """
    key = {"key": b64encode(b"/test/advanced").decode(), "value": ""}
    if http_body(f"{url}/v3/kv/put", key) is None:
        raise ConnectionError("etcd did not take a key")
