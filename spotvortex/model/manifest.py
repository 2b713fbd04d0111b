"""A model bundle's manifest, in either contract.

Comes in: the bytes of `MODEL_MANIFEST.json`. Goes out: a `ManifestV1` or `ManifestV2` whose words
have been checked. May not open another file, or run a model. Every refusal is a
`ModelContractError` that names what to mend.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final, Literal

import msgspec

from spotvortex.core.scoring.features import unknown_features
from spotvortex.core.scoring.trajectory import AHEAD_HOURS, COLUMNS, PAST_HOURS
from spotvortex.errors import ModelContractError

MANIFEST_NAME: Final = "MODEL_MANIFEST.json"
HORIZON_MINUTES: Final[Mapping[str, int]] = {"capacity_score": 60, "runtime_score": 120}
"""The scores that a bundle must give, with the horizon that their names stand for."""

V1_VERSIONS: Final = ("v1", "1", 1)
V2_VERSIONS: Final = (2,)

V1_RISK_GRAPH: Final = "tft.onnx"
V1_POLICY_GRAPH: Final = "rl_policy.onnx"


class Feature(msgspec.Struct, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    """One column of the input.

    Attributes:
        name: the feature, one of `core.scoring.features.BUILDERS`.
        unit: its unit, in words.
        low: least value of the training range, itself included.
        high: largest value of the training range, itself included.
    """

    name: str
    unit: str
    low: float
    high: float


class Score(msgspec.Struct, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    """One output of the graph and what it means.

    Attributes:
        name: the score, one of `HORIZON_MINUTES`.
        output: the graph's output that holds it.
        direction: which way is riskier; there is one answer.
        horizon_minutes: the time ahead that it speaks of.
        calibration: how its probabilities were calibrated, in words.
    """

    name: str
    output: str
    direction: Literal["higher-is-riskier"]
    horizon_minutes: int
    calibration: str


class Policy(msgspec.Struct, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    """A policy network.

    Attributes:
        graph: the artifact that it is.
        input: the name of its input.
        output: the name of its output.
    """

    graph: str
    input: str = "state"
    output: str = "q_values"


class Column(msgspec.Struct, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    """One column of the trajectory that a challenger reads.

    Attributes:
        name: the column, as in `core.scoring.trajectory.COLUMNS`.
        centre: mean over the training samples; the network itself takes it away.
        spread: deviation over them, by which the network divides.
    """

    name: str
    centre: float
    spread: float


class ChallengerEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A network that is asked beside the model that decides, and decides nothing itself.

    Attributes:
        name: its name.
        kind: the kind of network, in words.
        graph: the artifact that it is.
        input: the name of its input, `float32[batch, 24, 16]`.
        columns: the columns of a step, in order, with their scale.
        past_hours: its window: where the steps behind lie, from now.
        ahead_hours: its horizon: where the steps ahead end, from now.
        scores: the outputs that are read.
        why: why it does not decide, in words.
    """

    name: str
    kind: str
    graph: str
    input: str = "trajectory"
    columns: tuple[Column, ...]
    past_hours: tuple[float, ...]
    ahead_hours: tuple[float, ...]
    scores: tuple[Score, ...]
    why: str


class Source(msgspec.Struct, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    """Data that a network was trained on.

    Attributes:
        name: what it is.
        first_day: first day that it holds; of drawn markets the day they are said to begin.
        last_day: last day.
    """

    name: str
    first_day: str
    last_day: str


class Training(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the networks of a bundle came to be.

    Attributes:
        sources: the data, with their days.
        digests: SHA-256 of each folder of data, by name.
        code: SHA-256 of the training code and of the code that builds what it reads, as it was.
        code_changes: what has changed in that code since, in words; "" where nothing has.
        seeds: seeds that were trained; the worst of them ships.
        metrics: figures on validation, by name.
    """

    sources: tuple[Source, ...]
    digests: dict[str, str]
    code: str
    seeds: tuple[int, ...]
    metrics: dict[str, float]
    code_changes: str = ""


class ManifestV2(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`MODEL_MANIFEST.json`, schema version 2.

    Attributes:
        schema_version: 2.
        name: the bundle's name.
        kind: the kind of model, in words.
        description: what the model is, in words.
        fitted_on: the data that it was fitted on, in words.
        generated_at: when the bundle was made.
        cloud: the cloud that it was made for.
        supported_instance_families: the instance families in scope.
        graph: the artifact that is the network.
        artifacts: SHA-256 by file name.
        features: the columns of the input, in order.
        scores: the outputs that are read.
        decides: who gives the scores that are decided on: `graph`, or the interruption memory, with
            the graph asked beside it.
        policy: the policy network, None where there is none.
        challenger: a network that is asked beside what decides, None where there is none.
        training: how the networks were trained, None where nothing was.
    """

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
    decides: Literal["memory", "graph"] = "graph"
    policy: Policy | None = None
    challenger: ChallengerEntry | None = None
    training: Training | None = None

    @property
    def graphs(self) -> tuple[str, ...]:
        """The artifacts that are networks."""
        beside = (self.policy, self.challenger)
        return (self.graph, *(one.graph for one in beside if one is not None))


class _FileV1(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    sha256: str
    path: str = ""


class _ScopeV1(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    cloud: str = ""
    supported_instance_families: tuple[str, ...] = ()


class _WireV1(msgspec.Struct, frozen=True, kw_only=True):
    """The v1 file as it is written; what it says beside this is not read."""

    generated_at: str = ""
    cloud: str = ""
    supported_instance_families: tuple[str, ...] = ()
    model_scope: _ScopeV1 = _ScopeV1()
    artifacts: dict[str, _FileV1] = {}
    models: dict[str, _FileV1] = {}


class ManifestV1(msgspec.Struct, frozen=True, kw_only=True):
    """`MODEL_MANIFEST.json`, schema version v1, with what is written twice taken once.

    Attributes:
        cloud: the cloud that it was made for.
        supported_instance_families: the instance families in scope.
        artifacts: SHA-256 by file name; all files lie side by side in the bundle.
        name: the bundle's name; version v1 has none of its own.
    """

    cloud: str
    supported_instance_families: tuple[str, ...]
    artifacts: dict[str, str]
    name: str = "v1 bundle"

    @property
    def graphs(self) -> tuple[str, ...]:
        """The artifacts that are networks: the risk model and the policy."""
        return (V1_RISK_GRAPH, V1_POLICY_GRAPH)


Manifest = ManifestV1 | ManifestV2


class _Head(msgspec.Struct, frozen=True, gc=False):
    schema_version: int | str
    features: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def read_manifest(raw: bytes, expected_cloud: str) -> Manifest:
    """Decode and check a manifest.

    Args:
        raw: the file's bytes.
        expected_cloud: the cloud that the bundle must be made for, `aws`.

    Raises:
        ModelContractError: it cannot be read, or says what must not be.
    """
    try:
        manifest = _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelContractError(
            f"{MANIFEST_NAME}: {error}. Mend that field, or build the bundle again."
        ) from error
    if manifest.cloud != expected_cloud:
        raise refusal("cloud", f"is {manifest.cloud!r}; a bundle for {expected_cloud!r} is needed")
    if not manifest.supported_instance_families:
        raise refusal("supported_instance_families", "is empty; name the families in scope")
    for name in manifest.graphs:
        if name not in manifest.artifacts:
            raise refusal("artifacts", f"does not list {name!r}, which is a network; list the file")
    if isinstance(manifest, ManifestV2):
        _check_features(manifest.features)
        _check_scores(manifest.scores, "scores")
        if manifest.challenger is not None:
            _check_challenger(manifest.challenger)
    return manifest


def refusal(field: str, what: str) -> ModelContractError:
    """Build the error for one field of the manifest."""
    return ModelContractError(f"{MANIFEST_NAME}: {field} {what}.")


def _decode(raw: bytes) -> Manifest:
    head = msgspec.json.decode(raw, type=_Head)
    if head.schema_version in V2_VERSIONS:
        if head.features is msgspec.UNSET:
            raise refusal("features", "is missing; with schema_version 2 name every column")
        return msgspec.json.decode(raw, type=ManifestV2)
    if head.schema_version not in V1_VERSIONS:
        understood = ", ".join(map(repr, (*V1_VERSIONS, *V2_VERSIONS)))
        raise ModelContractError(
            f"{MANIFEST_NAME}: schema_version is {head.schema_version!r}; understood: {understood}."
            " Take a bundle of such a version, or a SpotVortex that knows this one."
        )
    if head.features is not msgspec.UNSET:
        raise refusal(
            "features",
            f"stands beside schema_version {head.schema_version!r}; with features it must be 2",
        )
    return _plain(msgspec.json.decode(raw, type=_WireV1))


def _plain(wire: _WireV1) -> ManifestV1:
    """Take from a v1 file what counts: its own fields before those of `model_scope`."""
    scope = wire.model_scope
    families = wire.supported_instance_families or scope.supported_instance_families
    words = (word.strip().lower() for word in families)
    return ManifestV1(
        cloud=(wire.cloud or scope.cloud).strip().lower(),
        supported_instance_families=tuple(word for word in words if word),
        artifacts=_side_by_side([*wire.artifacts.items(), *wire.models.items()]),
    )


def _side_by_side(entries: Sequence[tuple[str, _FileV1]]) -> dict[str, str]:
    """Map file names to checksums; a path is one in its builder's tree, so only its end counts."""
    found: dict[str, str] = {}
    for key, file in entries:
        name = PurePosixPath(file.path.strip() or key.strip()).name
        sha256 = file.sha256.strip().lower()
        if found.setdefault(name, sha256) != sha256:
            raise refusal("artifacts", f"gives two checksums for {name!r}; keep the right one")
    return found


def _check_features(features: tuple[Feature, ...]) -> None:
    names = [feature.name for feature in features]
    if not names or len(set(names)) != len(names):
        raise refusal("features", "is empty or names a feature twice; name each column once")
    if unknown := unknown_features(names):
        raise refusal("features", f"names {', '.join(unknown)}; this SpotVortex cannot build that")
    for feature in features:
        if not -math.inf < feature.low < feature.high < math.inf:
            raise refusal(f"features.{feature.name}", "has no range; low must be smaller than high")


def _check_challenger(challenger: ChallengerEntry) -> None:
    """Check that the challenger reads what `core.scoring.trajectory` builds."""
    names = tuple(column.name for column in challenger.columns)
    if names != COLUMNS:
        raise refusal("challenger.columns", f"are {names}; this SpotVortex builds {COLUMNS}")
    wanted = (PAST_HOURS, AHEAD_HOURS)
    given = (challenger.past_hours, challenger.ahead_hours)
    for name, hours, built in zip(("past_hours", "ahead_hours"), given, wanted, strict=True):
        if len(hours) != len(built) or max(map(_gap, hours, built)) > 1e-6:
            raise refusal(f"challenger.{name}", f"are {hours}; this SpotVortex builds {built}")
    _check_scores(challenger.scores, "challenger.scores")


def _gap(a: float, b: float) -> float:
    return abs(a - b)


def _check_scores(scores: tuple[Score, ...], field: str) -> None:
    found = {score.name: score.horizon_minutes for score in scores}
    if found != HORIZON_MINUTES or len(scores) != len(found):
        raise refusal(
            field, f"gives {found}; needed by name and horizon_minutes: {dict(HORIZON_MINUTES)}"
        )
    if len({score.output for score in scores}) != len(scores):
        raise refusal(field, "reads one output twice; each horizon needs an output of its own")
