"""A model bundle's manifest, and the files that it vouches for.

Comes in: a folder with `MODEL_MANIFEST.json`. Goes out: a `Bundle` whose files have been read once
and compared with their checksums; a session is made from these bytes and from nothing else on
disk. May not run a model. Every refusal is a `ModelContractError` that names what to mend.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Literal

import msgspec

from spotvortex.core.features import unknown_features
from spotvortex.errors import ModelContractError

MANIFEST_NAME: Final = "MODEL_MANIFEST.json"
SCHEMA_VERSIONS: Final = (2,)
HORIZON_MINUTES: Final[Mapping[str, int]] = {"capacity_score": 60, "runtime_score": 120}
"""The scores that a bundle must give, with the horizon that their names stand for."""

MAX_MANIFEST_BYTES: Final = 1 << 20
MAX_ARTIFACT_BYTES: Final = 1 << 28

# A protobuf StringStringEntry {1: "location", 2: <name>}: how a tensor names an outside file.
_EXTERNAL_FILE: Final = re.compile(rb"\x0a\x08location\x12([\x01-\x7f])", re.DOTALL)


class Feature(msgspec.Struct, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    """One column of the input; `low` and `high` are its training range, both included."""

    name: str
    unit: str
    low: float
    high: float


class Score(msgspec.Struct, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    """One output of the graph and what it means."""

    name: str
    output: str
    direction: Literal["higher-is-riskier"]
    horizon_minutes: int
    calibration: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`MODEL_MANIFEST.json`, schema version 2. `graph` names the artifact that is the network."""

    schema_version: int
    name: str
    kind: str
    description: str
    fitted_on: str
    generated_at: str
    cloud: str
    supported_instance_families: tuple[str, ...]
    graph: str
    artifacts: dict[str, str]
    features: tuple[Feature, ...]
    scores: tuple[Score, ...]


class _Version(msgspec.Struct, frozen=True, gc=False):
    schema_version: int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A manifest with the bytes of every artifact, all as its checksums say."""

    manifest: Manifest
    digest: str
    files: Mapping[str, bytes]


def read_bundle(folder: Path, expected_cloud: str) -> Bundle:
    """Read and check a bundle.

    Args:
        folder: where `MODEL_MANIFEST.json` lies.
        expected_cloud: the cloud that the bundle must be made for, `aws`.

    Raises:
        ModelContractError: the bundle is incomplete, altered, or made for something else.
    """
    raw = _manifest_bytes(folder / MANIFEST_NAME)
    manifest = _decode(raw)
    _check_words(manifest, expected_cloud)
    root = folder.resolve()
    files = {name: _artifact(root, name, manifest.artifacts) for name in manifest.artifacts}
    _check_outside_files(manifest, files[manifest.graph])
    return Bundle(manifest=manifest, digest=hashlib.sha256(raw).hexdigest(), files=files)


def _manifest_bytes(path: Path) -> bytes:
    try:
        return _read(path, MAX_MANIFEST_BYTES)
    except FileNotFoundError:
        raise ModelContractError(
            f"{path}: there is no manifest. Give the folder of a model bundle."
        ) from None
    except OSError as error:
        raise ModelContractError(f"{path}: cannot be read ({error.strerror}).") from error


def _decode(raw: bytes) -> Manifest:
    try:
        version = msgspec.json.decode(raw, type=_Version).schema_version
        if version not in SCHEMA_VERSIONS:
            understood = ", ".join(map(str, SCHEMA_VERSIONS))
            raise ModelContractError(
                f"{MANIFEST_NAME}: schema_version is {version!r}; understood: {understood}. "
                "Take a bundle of such a version, or a SpotVortex that knows this one."
            )
        return msgspec.json.decode(raw, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ModelContractError(
            f"{MANIFEST_NAME}: {error}. Mend that field, or build the bundle again."
        ) from error


def _check_words(manifest: Manifest, expected_cloud: str) -> None:
    """Check what the manifest says before a file is opened."""
    if manifest.cloud != expected_cloud:
        raise _refusal("cloud", f"is {manifest.cloud!r}; a bundle for {expected_cloud!r} is needed")
    if not manifest.supported_instance_families:
        raise _refusal("supported_instance_families", "is empty; name the families in scope")
    if manifest.graph not in manifest.artifacts:
        raise _refusal("graph", f"is {manifest.graph!r}; list that file in artifacts")
    _check_features(manifest.features)
    _check_scores(manifest.scores)


def _check_features(features: tuple[Feature, ...]) -> None:
    names = [feature.name for feature in features]
    if not names or len(set(names)) != len(names):
        raise _refusal("features", "is empty or names a feature twice; name each column once")
    if unknown := unknown_features(names):
        raise _refusal("features", f"names {', '.join(unknown)}; this SpotVortex cannot build that")
    for feature in features:
        if not feature.low < feature.high:
            raise _refusal(
                f"features.{feature.name}", "has no range; low must be smaller than high"
            )


def _check_scores(scores: tuple[Score, ...]) -> None:
    found = {score.name: score.horizon_minutes for score in scores}
    if found != HORIZON_MINUTES or len(scores) != len(found):
        raise _refusal(
            "scores", f"gives {found}; needed by name and horizon_minutes: {dict(HORIZON_MINUTES)}"
        )


def _artifact(root: Path, name: str, listed: Mapping[str, str]) -> bytes:
    """Return the bytes of one artifact, after every check on where it lies and what it is."""
    place = _place(root, name, listed)
    try:
        content = _read(place, MAX_ARTIFACT_BYTES)
    except FileNotFoundError:
        raise _refusal(f"artifacts[{name!r}]", "is missing; restore the file") from None
    except OSError as error:
        raise _refusal(f"artifacts[{name!r}]", f"cannot be read ({error.strerror})") from error
    found = hashlib.sha256(content).hexdigest()
    if found != listed[name].lower():
        raise _refusal(
            f"artifacts[{name!r}]",
            f"has sha256 {found}, the manifest says {listed[name]}; restore the bundle",
        )
    return content


def _place(root: Path, name: str, listed: Mapping[str, str]) -> Path:
    """Return where an artifact really lies: in the bundle, and under a name that is listed."""
    parts = PurePosixPath(name).parts
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts:
        raise _refusal(f"artifacts[{name!r}]", "leaves the bundle; name a file inside it")
    try:
        place = (root / name).resolve()
    except (OSError, RuntimeError) as error:  # a symlink that points at itself
        raise _refusal(f"artifacts[{name!r}]", "cannot be followed; copy the file") from error
    if not place.is_relative_to(root):
        raise _refusal(f"artifacts[{name!r}]", "is a link out of the bundle; copy the file in")
    target = place.relative_to(root).as_posix()
    if target not in listed:
        raise _refusal(
            f"artifacts[{name!r}]", f"is a link to {target!r}, which is not listed; list it as well"
        )
    return place


def _check_outside_files(manifest: Manifest, graph: bytes) -> None:
    """Check that every file which the graph would open is listed."""
    for match in _EXTERNAL_FILE.finditer(graph):
        name = graph[match.end() : match.end() + match.group(1)[0]].decode("utf-8", "replace")
        if name not in manifest.artifacts:
            raise _refusal(
                "artifacts", f"does not list {name!r}, which {manifest.graph} opens; list it"
            )


def _read(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ModelContractError(f"{path.name}: is larger than {limit} bytes; take a smaller one.")
    return content


def _refusal(field: str, what: str) -> ModelContractError:
    return ModelContractError(f"{MANIFEST_NAME}: {field} {what}.")
