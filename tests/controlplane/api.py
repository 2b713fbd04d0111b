"""A small blocking client of the test API server: one request, one connection.

For setting scenes and looking at results. It shares no code with the
controller, so that what it sees is an independent witness.
"""

import http.client
import json
import ssl
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
FIELD_MANAGER = "test-scene"


class RequestError(RuntimeError):
    """The API server refused a request that a scene needs."""

    def __init__(self, what: str, status: int, body: Any) -> None:
        super().__init__(f"{what} answered {status}: {json.dumps(body)[:2000]}")
        self.status = status
        self.body = body


def wait_until(predicate: Callable[[], Any], timeout: float = 30, every_s: float = 0.1) -> Any:
    """Call `predicate` until it returns something true, and return that.

    Args:
        predicate: what is awaited; a failed connection counts as not yet.
        timeout: seconds until `TimeoutError`.
        every_s: seconds between two calls.
    """
    deadline = time.monotonic() + timeout
    last: object = None
    while time.monotonic() < deadline:
        try:
            last = predicate()
        except (OSError, http.client.HTTPException) as error:
            last = error
        else:
            if last:
                return last
        time.sleep(every_s)
    name = getattr(predicate, "__name__", "the predicate")
    raise TimeoutError(f"{name} did not hold within {timeout} s, last: {last!r}")


class Api:
    """Requests to one API server, as one user."""

    def __init__(self, url: str, token: str, context: ssl.SSLContext) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 443
        self._token, self._context = token, context
        self._plurals: dict[tuple[str, str], tuple[str, bool]] = {}

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = JSON,
        timeout: float = 30,
    ) -> tuple[int, Any]:
        """Send one request; return its status code and its decoded body (text when not JSON)."""
        connection = http.client.HTTPSConnection(
            self._host, self._port, context=self._context, timeout=timeout
        )
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content_type}
        try:
            payload = None if body is None else json.dumps(body).encode()
            connection.request(method, path, body=payload, headers=headers)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        if response.headers.get("Content-Type", "").startswith(JSON):
            return response.status, json.loads(text)
        return response.status, text.decode()

    def must(self, method: str, path: str, body: Any = None, *, content_type: str = JSON) -> Any:
        """Send one request that has to succeed, and return the decoded body."""
        status, answer = self.request(method, path, body, content_type=content_type)
        if status >= 300:
            raise RequestError(f"{method} {path}", status, answer)
        return answer

    def get(self, path: str) -> Any:
        """Return the object or list at a path."""
        return self.must("GET", path)

    def items(self, path: str) -> list[dict[str, Any]]:
        """Return the items of the list at a path."""
        return self.get(path)["items"]

    def delete(self, path: str, options: dict[str, Any] | None = None) -> Any:
        """Delete the object at a path."""
        return self.must("DELETE", path, options)

    def patch(self, path: str, change: dict[str, Any]) -> Any:
        """Merge a change into the object at a path."""
        return self.must("PATCH", path, change, content_type=MERGE_PATCH)

    def apply(self, manifests: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Create or change objects of any kind by server-side apply; return them as stored.

        CRDs are awaited until they can be used, so that objects of theirs may follow in one call.
        """
        stored = []
        for manifest in manifests:
            path = f"{self.path_of(manifest)}?fieldManager={FIELD_MANAGER}&force=true"
            stored.append(self.must("PATCH", path, manifest, content_type=APPLY_PATCH))
            if manifest["kind"] == "CustomResourceDefinition":
                self._await_crd(manifest)
        return stored

    def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """Create one object of any kind; return it as stored."""
        return self.must("POST", self.collection_of(manifest), manifest)

    def path_of(self, manifest: dict[str, Any]) -> str:
        """Return the path of an object."""
        return f"{self.collection_of(manifest)}/{manifest['metadata']['name']}"

    def collection_of(self, manifest: dict[str, Any]) -> str:
        """Return the path of the list that an object belongs to."""
        version, kind = manifest["apiVersion"], manifest["kind"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        plural, namespaced = self._plural(root, kind)
        if not namespaced:
            return f"{root}/{plural}"
        namespace = manifest["metadata"].get("namespace", "default")
        return f"{root}/namespaces/{namespace}/{plural}"

    def _plural(self, root: str, kind: str) -> tuple[str, bool]:
        if (root, kind) not in self._plurals:
            for resource in self.get(root)["resources"]:
                if "/" not in resource["name"]:
                    known = (resource["name"], resource["namespaced"])
                    self._plurals[root, resource["kind"]] = known
        if (root, kind) not in self._plurals:
            raise LookupError(f"{root} knows no kind {kind}")
        return self._plurals[root, kind]

    def _await_crd(self, manifest: dict[str, Any]) -> None:
        spec = manifest["spec"]
        paths = [
            f"/apis/{spec['group']}/{version['name']}/{spec['names']['plural']}?limit=1"
            for version in spec["versions"]
            if version["served"]
        ]

        def served() -> bool:
            return all(self.request("GET", path)[0] == 200 for path in paths)

        wait_until(served)
