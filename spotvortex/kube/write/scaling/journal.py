"""The journal of what Auto Scaling groups were asked for: one ConfigMap, one text a group.

Comes in: requests that end with the lease. Goes out: the growths that are written down. Each write
names the version that was read, so that of two writers one is told that it is late. What cannot be
read stays where it is, and its group is grown no more. May not decide anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from spotvortex.core.domain import labels
from spotvortex.core.domain.types import short_digest
from spotvortex.core.drain.growth import Growth, growth_in, growth_text
from spotvortex.errors import NotServedError
from spotvortex.kube.api import paths
from spotvortex.kube.api.wire.codec import decoded
from spotvortex.kube.write.bounded import BoundedRequests


class _Meta(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""


class _ConfigMap(msgspec.Struct, frozen=True):
    metadata: _Meta
    data: dict[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """The journal as it was read.

    Attributes:
        version: of the object, "" where there is none yet.
        texts: by key.
    """

    version: str = ""
    texts: Mapping[str, str] = field(default_factory=dict)

    def of_group(self, group: str) -> Growth | None:
        """Return what a group was grown for, None where it was not."""
        return growth_in(self.texts.get(key_of(group), ""))

    def is_unread(self, group: str) -> bool:
        """Tell whether something is written of a group that this version cannot read."""
        return bool(self.texts.get(key_of(group))) and self.of_group(group) is None

    def of_plan(self, plan: str) -> Growth | None:
        """Return what was grown for a plan, None where nothing was."""
        found = map(growth_in, self.texts.values())
        return next((g for g in found if g is not None and g.plan == plan), None)


def key_of(group: str) -> str:
    """Return a key that a ConfigMap takes: a group's name has slashes."""
    return short_digest(group)


async def read_book(namespace: str, requests: BoundedRequests) -> Book:
    """Read the journal.

    Raises:
        ApiError: it could not be read.
    """
    path = paths.named(paths.config_maps(namespace), labels.GROWTHS)
    try:
        found = decoded(await requests.get(path), _ConfigMap)
    except NotServedError:
        return Book()
    return Book(version=found.metadata.resource_version, texts=found.data or {})


async def write_growth(
    namespace: str, book: Book, growth: Growth, requests: BoundedRequests
) -> None:
    """Write down what a group is grown for, in place of what was written of it.

    Raises:
        ApiError: it was not written; `ConflictError` where another has written meanwhile.
    """
    await _write(
        namespace, book, dict(book.texts) | {key_of(growth.group): growth_text(growth)}, requests
    )


async def end_growth(namespace: str, book: Book, group: str, requests: BoundedRequests) -> None:
    """Take what is written of a group out of the journal.

    Raises:
        ApiError: it was not taken out; `ConflictError` where another has written meanwhile.
    """
    gone = key_of(group)
    await _write(namespace, book, {k: t for k, t in book.texts.items() if k != gone}, requests)


async def _write(
    namespace: str, book: Book, texts: Mapping[str, str], requests: BoundedRequests
) -> None:
    metadata: dict[str, object] = {
        "name": labels.GROWTHS,
        "labels": {labels.MANAGED_BY: labels.MANAGER},
    }
    body: dict[str, object] = {"apiVersion": "v1", "kind": "ConfigMap", "data": texts}
    collection = paths.config_maps(namespace)
    if not book.version:
        await requests.send("POST", collection, body | {"metadata": metadata})
        return
    path = paths.named(collection, labels.GROWTHS)
    metadata["resourceVersion"] = book.version
    await requests.send("PUT", path, body | {"metadata": metadata})
