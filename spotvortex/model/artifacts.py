"""The files of a bundle, each read once and compared with its checksum.

Comes in: a folder with a manifest. Goes out: a `Bundle` with the bytes of every network and of
every file that it opens. A session is made from these bytes and from nothing else on disk, so what
was checked is what runs. May not run a model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from spotvortex.errors import ModelContractError
from spotvortex.model.external import External, external_tensors
from spotvortex.model.manifest import MANIFEST_NAME, Manifest, read_manifest, refusal

MAX_MANIFEST_BYTES: Final = 1 << 20
MAX_ARTIFACT_BYTES: Final = 1 << 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """One network.

    Attributes:
        name: the artifact's name.
        content: its bytes.
        beside: bytes of each file that it opens, by the name that it uses.
    """

    name: str
    content: bytes
    beside: Mapping[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A manifest with its networks, all as the checksums say.

    Attributes:
        manifest: the manifest.
        digest: SHA-256 of the manifest's bytes.
        graphs: the networks, by the artifact's name.
    """

    manifest: Manifest
    digest: str
    graphs: Mapping[str, Graph]


def read_bundle(folder: Path, expected_cloud: str) -> Bundle:
    """Read and check a bundle.

    Args:
        folder: where `MODEL_MANIFEST.json` lies.
        expected_cloud: the cloud that the bundle must be made for, `aws`.

    Raises:
        ModelContractError: the bundle is incomplete, altered, or made for something else.
    """
    raw = _manifest_bytes(folder / MANIFEST_NAME)
    manifest = read_manifest(raw, expected_cloud)
    shelf = _Folder(root=folder.resolve(), listed=manifest.artifacts)
    files = {name: shelf.content_of(name) for name in manifest.artifacts}
    return Bundle(
        manifest=manifest,
        digest=hashlib.sha256(raw).hexdigest(),
        graphs={name: _graph(name, files, shelf) for name in manifest.graphs},
    )


def _graph(name: str, files: Mapping[str, bytes], shelf: _Folder) -> Graph:
    """Join a network with every file that it opens."""
    try:
        tensors = external_tensors(files[name])
    except ModelContractError as error:
        raise ModelContractError(f"{name}: {error}") from error
    beside: dict[str, bytes] = {}
    for tensor in tensors:
        target = shelf.opened(tensor.location, name)
        beside[tensor.location] = files[target]
        _check_whole(tensor, len(files[target]))
    return Graph(name=name, content=files[name], beside=beside)


def _check_whole(tensor: External, n_bytes: int) -> None:
    """Check that a tensor's data end within their file."""
    end = tensor.offset + (tensor.n_bytes or 0)
    if end > n_bytes:
        raise refusal(
            f"artifacts[{tensor.location!r}]",
            f"is cut short: the network reads up to byte {end}, it has {n_bytes}; restore the file",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Folder:
    """The folder of a bundle and what its manifest lists there, name to sha256."""

    root: Path
    listed: Mapping[str, str]

    def content_of(self, name: str) -> bytes:
        """Return the bytes of a listed file, after every check on where it lies and what it is."""
        field = f"artifacts[{name!r}]"
        place = self._place(name, field)
        if (target := place.relative_to(self.root).as_posix()) not in self.listed:
            raise refusal(field, f"is a link to {target!r}, which is not listed; list it as well")
        try:
            content = _read(place, MAX_ARTIFACT_BYTES)
        except FileNotFoundError:
            raise refusal(field, "is missing; restore the file") from None
        except OSError as error:
            raise refusal(field, f"cannot be read ({error.strerror}); restore the file") from error
        found = hashlib.sha256(content).hexdigest()
        if found != self.listed[name].lower():
            raise refusal(
                field,
                f"has sha256 {found}, the manifest says {self.listed[name]}; restore the bundle",
            )
        return content

    def opened(self, location: str, graph: str) -> str:
        """Return the listed name of a file that a network opens, itself or through a link."""
        name = PurePosixPath(location).as_posix()
        if name in self.listed:
            return name
        place = self._place(location, f"{graph} opens {location!r}, which")
        target = place.relative_to(self.root).as_posix()
        if target not in self.listed:
            raise refusal("artifacts", f"does not list {location!r}, which {graph} opens; list it")
        return target

    def _place(self, name: str, field: str) -> Path:
        """Return where a file of the bundle really lies; it must be in the bundle."""
        path = PurePosixPath(name)
        if not path.parts or path.is_absolute() or ".." in path.parts:
            raise refusal(field, "leaves the bundle; name a file inside it")
        try:
            place = (self.root / name).resolve()
        except (OSError, RuntimeError, ValueError) as error:  # a circle of links, a NUL in the name
            raise refusal(field, "cannot be followed; copy the file") from error
        if not place.is_relative_to(self.root):
            raise refusal(field, "is a link out of the bundle; copy the file in")
        return place


def _manifest_bytes(path: Path) -> bytes:
    try:
        return _read(path, MAX_MANIFEST_BYTES)
    except FileNotFoundError:
        raise ModelContractError(
            f"{path}: there is no manifest. Give the folder of a model bundle."
        ) from None
    except OSError as error:
        raise ModelContractError(f"{path}: cannot be read ({error.strerror}).") from error


def _read(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ModelContractError(f"{path.name}: is larger than {limit} bytes; take a smaller one.")
    return content
