"""The session that scores; the one module that knows onnxruntime.

Comes in: a bundle whose files have been checked. Goes out: a `Forecaster`. It runs on one thread,
opens no file of its own, and never gives a figure that is not a probability: what the model cannot
say is NaN. May not read the cluster or the market.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from spotvortex.core.catalog import Scope
from spotvortex.core.features import Matrix
from spotvortex.errors import ModelContractError
from spotvortex.model.behaviour import degenerate_reason, sweep
from spotvortex.model.manifest import HORIZON_MINUTES, MANIFEST_NAME, Bundle, read_bundle

log = logging.getLogger(__name__)

MAX_BATCH: Final = 512
"""Rows given to the session at once; onnxruntime keeps the memory of its largest batch."""

INPUT_NAME: Final = "features"
_FLOAT32: Final = "tensor(float)"

# The library's errors share no base of their own.
_RUN_ERRORS: Final = (
    ort_errors.EPFail,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
    ValueError,
)


class OnnxForecaster:
    """A bundle that has passed its checks, ready to score.

    `degenerate_reason` is empty for a bundle that behaves like a risk model; else it says why not,
    and every score is NaN, so that the policy holds.
    """

    def __init__(self, bundle: Bundle) -> None:
        manifest = bundle.manifest
        self.name = manifest.name
        self.digest = bundle.digest
        self.scope = Scope(manifest.supported_instance_families)
        self.feature_names: Sequence[str] = tuple(f.name for f in manifest.features)
        self.feature_ranges: Mapping[str, tuple[float, float]] = {
            f.name: (f.low, f.high) for f in manifest.features
        }
        by_name = {score.name: score.output for score in manifest.scores}
        self._outputs = [by_name[name] for name in HORIZON_MINUTES]
        self._session = _open(bundle)
        _check_tensors(self._session, len(self.feature_names), self._outputs)
        self._probe(bundle)
        self.degenerate_reason = degenerate_reason(manifest.features, self._run)

    @property
    def degenerate(self) -> bool:
        """Tell whether the scores must not be used."""
        return bool(self.degenerate_reason)

    def score(self, features: Matrix) -> Matrix:
        """Score a batch; blocking. See `ports.Forecaster.score`."""
        if features.ndim != 2 or features.shape[1] != len(self.feature_names):
            raise ModelContractError(
                f"{self.name}: was given features of shape {features.shape}, "
                f"expected [n, {len(self.feature_names)}]."
            )
        scores = np.full((len(features), len(self._outputs)), np.nan, dtype=np.float32)
        if self.degenerate:
            return scores
        known = np.flatnonzero(np.isfinite(features).all(axis=1))
        for start in range(0, len(known), MAX_BATCH):
            rows = known[start : start + MAX_BATCH]
            scores[rows] = self._run(features[rows])
        scores[~_is_probability(scores).all(axis=1)] = np.nan
        return scores

    def _run(self, features: Matrix) -> Matrix:
        """Score at most `MAX_BATCH` finite rows as the network gives them."""
        batch = np.ascontiguousarray(features, dtype=np.float32)
        try:
            columns = self._session.run(self._outputs, {INPUT_NAME: batch})
        except _RUN_ERRORS as error:
            raise ModelContractError(f"{self.name}: cannot be run: {_first_line(error)}") from error
        if any(column.shape != (len(batch),) for column in columns):
            raise ModelContractError(f"{self.name}: a run of {len(batch)} rows gave other shapes.")
        scores: Matrix = np.stack(columns, axis=1)
        return scores

    def _probe(self, bundle: Bundle) -> None:
        features = bundle.manifest.features
        for column in range(len(features)):
            if not _is_probability(self._run(sweep(features, column))).all():
                raise ModelContractError(
                    f"{bundle.manifest.graph}: a score within the training range is not finite or "
                    "not in 0..1. Build the bundle again, or go back to the one before."
                )


def load(folder: Path, expected_cloud: str) -> OnnxForecaster:
    """Read, check and open a bundle.

    Args:
        folder: where `MODEL_MANIFEST.json` lies.
        expected_cloud: the cloud that the bundle must be made for, `aws`.

    Raises:
        ModelContractError: the bundle does not keep its contract.
    """
    forecaster = OnnxForecaster(read_bundle(folder, expected_cloud))
    fields = {"model": forecaster.name, "digest": forecaster.digest}
    if forecaster.degenerate:
        log.warning("model.degenerate", extra={**fields, "reason": forecaster.degenerate_reason})
    else:
        log.info("model.loaded", extra=fields)
    return forecaster


def _open(bundle: Bundle) -> onnxruntime.InferenceSession:
    """Open a session from the bundle's checked bytes, so that no other file can slip in."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.enable_cpu_mem_arena = False  # else the largest batch stays in memory
    options.log_severity_level = 4  # what is wrong is raised, and told once
    graph = bundle.manifest.graph
    beside = {name: content for name, content in bundle.files.items() if name != graph}
    if beside:
        sizes = [len(content) for content in beside.values()]
        options.add_external_initializers_from_files_in_memory(
            list(beside), list(beside.values()), sizes
        )
    try:
        return onnxruntime.InferenceSession(
            bundle.files[graph], options, providers=["CPUExecutionProvider"]
        )
    except _RUN_ERRORS as error:
        raise ModelContractError(f"{graph}: cannot be opened: {_first_line(error)}") from error


def _check_tensors(
    session: onnxruntime.InferenceSession, n_features: int, outputs: Sequence[str]
) -> None:
    """Check names, types and shapes of the graph's ends."""
    inputs = {i.name: i for i in session.get_inputs()}
    if list(inputs) != [INPUT_NAME]:
        raise _tensor_error(f"takes {sorted(inputs)}, expected one input {INPUT_NAME!r}")
    _check_tensor(inputs[INPUT_NAME], [n_features])
    given = {o.name: o for o in session.get_outputs()}
    for name in outputs:
        if name not in given:
            raise _tensor_error(f"has no output {name!r}, which {MANIFEST_NAME} names in scores")
        _check_tensor(given[name], [])


def _check_tensor(tensor: onnxruntime.NodeArg, tail: list[int]) -> None:
    """Check one tensor: float32, an open batch dimension, then exactly the tail."""
    expected = ", ".join(["batch", *map(str, tail)])
    shape = tensor.shape
    is_open = bool(shape) and not isinstance(shape[0], int)
    if tensor.type != _FLOAT32 or not is_open or shape[1:] != tail:
        raise _tensor_error(
            f"{tensor.name!r} is {tensor.type} of shape {shape}, expected float32[{expected}]"
        )


def _tensor_error(what: str) -> ModelContractError:
    return ModelContractError(f"model graph: {what}. Export it again to that contract.")


def _is_probability(scores: Matrix) -> np.typing.NDArray[np.bool_]:
    """Tell which scores are finite and in 0..1; a comparison with NaN is false."""
    verdict: np.typing.NDArray[np.bool_] = (scores >= 0.0) & (scores <= 1.0)
    return verdict


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
