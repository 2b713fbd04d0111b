"""One NodePool as its owner wrote it, from the cluster or from a file.

Comes in: settings or a file, and a name. Goes out: the object as plain values. May not judge it,
and writes nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml

from spotvortex.app.kubernetes import answering_client
from spotvortex.errors import NodePoolError, NotServedError
from spotvortex.kube.api import paths
from spotvortex.settings.model import Settings

ANSWER_S: Final = 10.0
LARGEST_FILE: Final = 4 << 20
"""Bytes of a file that are read at most."""


async def of_cluster(settings: Settings, name: str) -> dict[str, object]:
    """Read a NodePool from the cluster of the kubeconfig.

    Raises:
        NodePoolError: none is named, or there is none of that name.
        ApiError: the server does not answer, or refuses.
    """
    if not name:
        raise NodePoolError("name a NodePool, or give a file with -f")
    async with answering_client(settings) as client:
        try:
            body = await client.get_bytes(paths.node_pool(name), timeout=ANSWER_S)
        except NotServedError as error:
            where = f"{client.context_name} ({client.server})"
            raise NodePoolError(
                f"{where} has no NodePool {name}: kubectl get nodepools lists them"
            ) from error
    found: dict[str, object] = json.loads(body)
    return found


def of_file(path: Path, name: str) -> dict[str, object]:
    """Read a NodePool from YAML or JSON, of one or more documents, or a list.

    Args:
        path: the file, `-` for standard input.
        name: which of them; may be left out where there is only one.

    Raises:
        NodePoolError: the file cannot be read, or does not hold it; the text says what is there.
    """
    try:
        text = sys.stdin.read() if str(path) == "-" else _text(path)
        documents = [found for found in yaml.safe_load_all(text) if found is not None]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise NodePoolError(f"{path}: {error}") from error
    objects = [found for document in documents for found in _objects(document)]
    pools = {_name_of(found): found for found in objects if found.get("kind") == "NodePool"}
    if name in pools:
        return pools[name]
    if not name and len(pools) == 1:
        return next(iter(pools.values()))
    if not pools:
        raise NodePoolError(f"{path} holds no NodePool; give the YAML of one")
    there = ", ".join(sorted(pools))
    wanted = f"no NodePool {name}" if name else "no single NodePool: name one"
    raise NodePoolError(f"{path} has {wanted}; it has {there}")


def _text(path: Path) -> str:
    if path.stat().st_size > LARGEST_FILE:
        raise NodePoolError(f"{path} is larger than {LARGEST_FILE} bytes")
    return path.read_text(encoding="utf-8")


def _objects(document: object) -> list[dict[str, object]]:
    if not isinstance(document, dict):
        return []
    items = document.get("items")
    if isinstance(items, list):
        return [item for item in items if isinstance(item, dict)]
    return [document]


def _name_of(found: Mapping[str, object]) -> str:
    metadata = found.get("metadata")
    return str(metadata.get("name", "")) if isinstance(metadata, dict) else ""
