"""A bundle that has passed its checks, ready to score.

Comes in: a folder with a bundle of either contract. Goes out: a `Forecaster`. Every score is a
probability, or NaN where the model cannot say one. May not read the cluster or the market, and
leaves onnxruntime to `model.onnx`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from spotvortex.core.decision.learned_policy import ACTIONS, STATE_SIZE
from spotvortex.core.domain.cloud.instance_types import Scope
from spotvortex.core.domain.types import Predictor
from spotvortex.core.scoring.features import Matrix, OfferingContext
from spotvortex.errors import ModelContractError
from spotvortex.model.artifacts import Bundle, read_bundle
from spotvortex.model.behaviour import is_probability
from spotvortex.model.beside import GraphBeside, MemoryBeside
from spotvortex.model.feature_model import FeatureModel
from spotvortex.model.manifest import V1_POLICY_GRAPH, ManifestV1, Policy, Training
from spotvortex.model.onnx import Network
from spotvortex.model.sequence_model import SequenceModel
from spotvortex.model.window_model import WindowModel
from spotvortex.ports.model import Challenger

log = logging.getLogger(__name__)

N_SCORES: Final = 2


RiskModel = FeatureModel | WindowModel


class OnnxForecaster:
    """A bundle's risk model at `graph`, and its policy network where it has one.

    `degenerate_reason` is empty for a bundle that behaves like a risk model; else it says why not,
    and every score is NaN, so that the model abstains. `decides` says whether the interruption
    memory gives the scores that are decided on, or the graph. `challenger` is the network that is
    asked beside both, `training` how the networks came to be; None where the bundle has none.
    `files` are its artifacts, `feature_names` the columns that a v2 model reads.
    """

    def __init__(self, bundle: Bundle) -> None:
        manifest = bundle.manifest
        self.name = manifest.name
        self.digest = bundle.digest
        self.scope = Scope(manifest.supported_instance_families)
        self.files = tuple(sorted(manifest.artifacts))
        self.feature_names: tuple[str, ...] = ()
        self.training: Training | None = None
        self.decides = Predictor.GRAPH
        self._risk: RiskModel
        self.challenger: SequenceModel | None = None
        if isinstance(manifest, ManifestV1):
            self._risk = WindowModel(bundle)
            self._policy = _policy_network(bundle, Policy(graph=V1_POLICY_GRAPH))
        else:
            self._risk = FeatureModel(manifest, bundle)
            self.feature_names = tuple(feature.name for feature in manifest.features)
            self.training = manifest.training
            self.decides = Predictor(manifest.decides)
            self._policy = _policy_network(bundle, manifest.policy)
            if manifest.challenger is not None:
                self.challenger = SequenceModel(manifest.challenger, bundle)
        self.degenerate_reason = self._risk.degenerate_reason()

    @property
    def predictors(self) -> tuple[Challenger, ...]:
        """Return whoever says how likely a loss is: the memory, the graph, a further network."""
        both = MemoryBeside(), GraphBeside(self, self.name)
        return both if self.challenger is None else (*both, self.challenger)

    @property
    def challengers(self) -> tuple[Challenger, ...]:
        """Return those of them that do not decide."""
        return tuple(one for one in self.predictors if one.predictor is not self.decides)

    @property
    def degenerate(self) -> bool:
        """Tell whether the scores must not be used."""
        return bool(self.degenerate_reason)

    @property
    def has_policy(self) -> bool:
        """Tell whether the bundle has a policy network."""
        return self._policy is not None

    def tensor(self, contexts: Sequence[OfferingContext], at: float) -> Matrix:
        """Build the model's input. See `ports.Forecaster.tensor`."""
        return self._risk.tensor(contexts, at)

    def in_range(self, tensor: Matrix) -> NDArray[np.bool_]:
        """Tell which rows the model was made for. See `ports.Forecaster.in_range`."""
        return self._risk.in_range(tensor)

    def score(self, tensor: Matrix) -> Matrix:
        """Score a batch; blocking. See `ports.Forecaster.score`."""
        _check_rows(self.name, tensor, self._risk.tail)
        scores = np.full((len(tensor), N_SCORES), np.nan, dtype=np.float32)
        finite = np.isfinite(tensor).all(axis=tuple(range(1, tensor.ndim)))
        if self.degenerate or not finite.any():
            return scores
        scores[finite] = self._risk.run(tensor[finite])
        scores[~is_probability(scores).all(axis=1)] = np.nan
        return scores

    def q_values(self, states: Matrix) -> Matrix:
        """Value every action; blocking. See `ports.Forecaster.q_values`."""
        if self._policy is None:
            raise ModelContractError(f"{self.name}: has no policy network.")
        _check_rows(self.name, states, (STATE_SIZE,))
        if not len(states):
            return np.empty((0, len(ACTIONS)), dtype=np.float32)
        (values,) = self._policy.run(states)
        return values


def load(folder: Path, expected_cloud: str) -> OnnxForecaster:
    """Read, check and open a bundle.

    Args:
        folder: where `MODEL_MANIFEST.json` lies.
        expected_cloud: the cloud that the bundle must be made for, `aws`.

    Raises:
        ModelContractError: the bundle does not keep its contract.
    """
    forecaster = OnnxForecaster(read_bundle(folder, expected_cloud))
    fields = {"model": forecaster.name, "digest": forecaster.digest, "decides": forecaster.decides}
    if forecaster.degenerate:
        log.warning("model.degenerate", extra={**fields, "reason": forecaster.degenerate_reason})
    else:
        log.info("model.loaded", extra=fields)
    return forecaster


def _policy_network(bundle: Bundle, policy: Policy | None) -> Network | None:
    """Open the policy network and probe it with an empty, a middling and a full state."""
    if policy is None:
        return None
    network = Network(
        bundle.graphs[policy.graph],
        source=policy.input,
        tail=(STATE_SIZE,),
        outputs={policy.output: (len(ACTIONS),)},
    )
    probe = np.repeat(np.array([[0.0], [0.5], [1.0]], dtype=np.float32), STATE_SIZE, axis=1)
    (values,) = network.run(probe)
    if not np.isfinite(values).all():
        raise ModelContractError(
            f"{network.name}: {policy.output!r} of the probe is not finite. Build the bundle "
            "again, or go back to the one before."
        )
    return network


def _check_rows(name: str, rows: Matrix, tail: tuple[int, ...]) -> None:
    if rows.shape[1:] != tail:
        expected = ", ".join(["n", *map(str, tail)])
        raise ModelContractError(
            f"{name}: was given rows of shape {rows.shape}, expected [{expected}]."
        )
