"""Train one Temporal Fusion Transformer, so that it can be stopped and gone on with.

Comes in: samples (`scripts.train.samples`), a seed, a variant. Goes out: a run folder with
`last.pt` after every epoch, `best.pt`, and `log.jsonl`. The same data, seed and thread give the
same weights. Early stopping and calibration use the tuning samples; validation is never looked at.

    OMP_NUM_THREADS=1 python -m scripts.train.fit data.npz --out runs --seed 0 [--variant all]
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from scripts.train.samples import Samples, read_samples
from scripts.train.tft import N_AHEAD, Shape, Tft
from spotvortex.core.scoring.trajectory import COLUMNS, N_OBSERVED

BATCH: Final = 512
LEARNING_RATE: Final = 2e-3
WEIGHT_DECAY: Final = 1e-2
PATIENCE: Final = 2

_PRICES: Final = COLUMNS[:N_OBSERVED]
VARIANTS: Final = {
    "all": Shape(),
    "no-price": Shape(masked=_PRICES),
    "price-only": Shape(
        masked=tuple(name for name in COLUMNS if name not in (*_PRICES, "step_hours")),
        corrects=False,
    ),
    "alone": Shape(corrects=False),
}
"""Networks that are compared: the whole one; without, and with nothing but, prices; and one that
does not start from the memory's hazard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How one run goes.

    Attributes:
        variant: which columns it reads.
        seed: of weights, order and dropout.
        epochs: most passes over the samples.
        hold_back: a region whose samples it may not see.
    """

    variant: str = "all"
    seed: int = 0
    epochs: int = 8
    hold_back: str = ""

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return f"{self.variant}{'-without-' if self.hold_back else ''}{self.hold_back}-{self.seed}"


def device() -> torch.device:
    """Return the GPU where there is one; nothing needs it."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def settle(seed: int) -> None:
    """Make torch give the same figures every time."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)


def loss_of(model: Tft, x: Tensor, lost_step: Tensor, n_known: Tensor) -> Tensor:
    """Return the mean negative log likelihood of when the node was lost."""
    hazard = torch.exp(model.log_hazard(x)[0]).clamp(1e-9, 50.0) / 6.0
    step = torch.arange(N_AHEAD, device=x.device)[None]
    survived = (step < torch.minimum(lost_step, n_known)[:, None]).float()
    ended = (step == lost_step[:, None]).float() * (lost_step < N_AHEAD).float()[:, None]
    return (survived * hazard - ended * torch.log(-torch.expm1(-hazard))).sum(dim=1).mean()


def train(samples: Samples, plan: Plan, out: Path) -> Tft:
    """Train, or go on with, one run; returns the best network, calibrated.

    Args:
        samples: what to learn from.
        plan: how.
        out: the folder of all runs.
    """
    folder = out / plan.name
    folder.mkdir(parents=True, exist_ok=True)
    settle(plan.seed)
    seen = samples.region != plan.hold_back if plan.hold_back else np.ones(len(samples.at), bool)
    fit = np.flatnonzero(samples.fit & seen & (samples.n_known > 0))
    tune = np.flatnonzero(samples.tune & seen & (samples.n_known > 0))
    run = _Run(samples, plan, folder, fit)
    while run.epoch < plan.epochs and run.bad < PATIENCE:
        begun = time.perf_counter()
        trained = run.one_epoch(fit)
        tuned = run.judged(tune)
        run.keep(tuned)
        line = {
            "run": plan.name,
            "epoch": run.epoch,
            "fit_loss": round(trained, 6),
            "tune_loss": round(tuned, 6),
            "best": round(run.best, 6),
            "seconds": round(time.perf_counter() - begun, 1),
        }
        with (folder / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)
    return run.finished(tune)


class _Run:
    """One run between two epochs."""

    def __init__(
        self, samples: Samples, plan: Plan, folder: Path, fit: np.ndarray[Any, Any]
    ) -> None:
        self.folder, self.device = folder, device()
        self.epoch, self.bad, self.best = 0, 0, float("inf")
        self.x = torch.from_numpy(samples.x)
        self.lost = torch.from_numpy(samples.lost_step)
        self.known = torch.from_numpy(samples.n_known)
        self.model = Tft(VARIANTS[plan.variant], *scales(samples.x[fit])).to(self.device)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
        )
        if (folder / "last.pt").exists():
            self._resume()

    def _resume(self) -> None:
        kept = torch.load(self.folder / "last.pt", weights_only=False)
        self.model.load_state_dict(kept["model"])
        self.optimizer.load_state_dict(kept["optimizer"])
        torch.set_rng_state(kept["chance"])
        self.epoch, self.bad, self.best = kept["epoch"], kept["bad"], kept["best"]

    def one_epoch(self, fit: np.ndarray[Any, Any]) -> float:
        """Pass once over the fitting samples, and return the mean loss."""
        self.model.train()
        order, total = torch.from_numpy(fit)[torch.randperm(len(fit))], 0.0
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            loss = loss_of(self.model, *self._batch(rows))
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            total += float(loss.detach()) * len(rows)
            print(f"\r{start + len(rows)}/{len(order)}", end="\r", flush=True)
        self.epoch += 1
        return total / len(order)

    def judged(self, rows: np.ndarray[Any, Any]) -> float:
        """Return the mean loss without dropout."""
        self.model.eval()
        total = 0.0
        with torch.no_grad():
            for part in np.array_split(rows, max(1, len(rows) // 4096)):
                total += float(loss_of(self.model, *self._batch(torch.from_numpy(part)))) * len(
                    part
                )
        return total / len(rows)

    def _batch(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return (
            self.x[rows].to(self.device),
            self.lost[rows].to(self.device),
            self.known[rows].to(self.device),
        )

    def keep(self, tuned: float) -> None:
        """Write the state down, and the network where it is the best one."""
        self.bad = 0 if tuned < self.best else self.bad + 1
        if tuned < self.best:
            self.best = tuned
            torch.save(self.model.state_dict(), self.folder / "best.pt")
        torch.save(
            {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "chance": torch.get_rng_state(),
                "epoch": self.epoch,
                "bad": self.bad,
                "best": self.best,
            },
            self.folder / "last.pt",
        )

    def finished(self, tune: np.ndarray[Any, Any]) -> Tft:
        """Return the best network, calibrated on the tuning samples."""
        self.model.load_state_dict(torch.load(self.folder / "best.pt", weights_only=True))
        self.model.eval().cpu()
        calibrate(self.model, self.x[tune], self.lost[tune], self.known[tune])
        torch.save(self.model.state_dict(), self.folder / "calibrated.pt")
        return self.model


def scales(x: np.ndarray[Any, Any]) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of each column over what is known."""
    flat = x.reshape(-1, x.shape[2]).astype(np.float64)
    known = np.isfinite(flat)
    n = np.maximum(known.sum(axis=0), 1)
    centre = np.where(known, flat, 0.0).sum(axis=0) / n
    spread = np.sqrt((np.where(known, flat - centre, 0.0) ** 2).sum(axis=0) / n)
    spread[spread < 1e-6] = 1.0
    return torch.tensor(centre, dtype=torch.float32), torch.tensor(spread, dtype=torch.float32)


def calibrate(model: Tft, x: Tensor, lost: Tensor, known: Tensor) -> None:
    """Fit shift and power of the summed hazard to the losses within 60 and 120 minutes."""
    with torch.no_grad():
        parts = [torch.exp(model.log_hazard(part)[0]) for part in x.split(4096)]
        summed = torch.cumsum(torch.cat(parts) / 6.0, dim=1).clamp(1e-9, 50.0)
    fitted = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([fitted], max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = torch.zeros((), dtype=torch.float64)
        for n_steps in (6, 12):
            ok = (lost < n_steps) | (known >= n_steps)
            hazard = torch.exp(fitted[0] + fitted[1] * torch.log(summed[ok, n_steps - 1].double()))
            is_lost = lost[ok] < n_steps
            gone = torch.log(-torch.expm1(-hazard.clamp(min=1e-12)))
            total = total - torch.where(is_lost, gone, -hazard).mean()
        total.backward()
        return total

    optimizer.step(closure)
    model.calibration.copy_(fitted.detach().float())


def main() -> None:
    """Train one run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="the folder of all runs")
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--variant", choices=list(VARIANTS), nargs="+", default=["all"])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--hold-back", default="", help="a region that it may not see")
    options = parser.parse_args()
    samples = read_samples(options.data)
    for variant in options.variant:
        for seed in options.seed:
            plan = Plan(
                variant=variant, seed=seed, epochs=options.epochs, hold_back=options.hold_back
            )
            model = train(samples, plan, options.out)
            print(f"{plan.name}: calibration {model.calibration.tolist()}", flush=True)


if __name__ == "__main__":
    main()
