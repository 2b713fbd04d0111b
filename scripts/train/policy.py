"""Fit a policy network on transitions: fitted Q iteration with a double-DQN target.

Comes in: the folder of `scripts.train.rollouts`, a seed. Goes out: a run folder with the network
and its log. The method is that of van Hasselt et al. (AAAI 2016) on a fixed set of transitions
(Ernst et al., JMLR 2005; Riedmiller, ECML 2005), with a duelling head (Wang et al., ICML 2016): one
network picks the next action, a slower copy values it. The same data and seed give the same
weights. May not play: `scripts.train.policy_trial` does.

    OMP_NUM_THREADS=1 python -m scripts.train.policy rollouts --out policy --seed 0 1 2 3 4
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from scripts.train.fit import settle
from spotvortex.core.decision.learned_policy import ACTIONS, STATE_SIZE

WIDTH: Final = 32
DISCOUNT: Final = 0.9
"""An hour: what comes half a day later counts for a quarter."""

N_STEPS: Final = 1000
BATCH: Final = 256
LEARNING_RATE: Final = 1e-3
TARGET_EVERY: Final = 100
JUDGE_EVERY: Final = 250
"""The network of least error on the worlds held back is the one that is kept."""

HOLD_BACK: Final = 0.1
"""Share of the worlds on which the error is judged and nothing is fitted."""


class Policy(nn.Module):
    """Duelling network: the value of a state, and what each action adds to it."""

    def __init__(self, centre: Tensor, spread: Tensor) -> None:
        """Make a network.

        Args:
            centre: mean of each figure of the state.
            spread: deviation of each.
        """
        super().__init__()
        self.register_buffer("centre", centre)
        self.register_buffer("spread", spread)
        self.body = nn.Sequential(
            nn.Linear(STATE_SIZE, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU()
        )
        self.value = nn.Linear(WIDTH, 1)
        self.gain = nn.Linear(WIDTH, len(ACTIONS))

    def forward(self, state: Tensor) -> Tensor:
        """Return what each action is worth, `float32[n, 6]`."""
        hidden = self.body(((state - self.centre) / self.spread).clamp(-5.0, 5.0))
        gain = self.gain(hidden)
        return self.value(hidden) + gain - gain.mean(dim=1, keepdim=True)


def read_transitions(folder: Path) -> tuple[list[Tensor], list[Tensor]]:
    """Return states, actions, rewards and next states, to fit on and to judge on."""
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise SystemExit(f"{folder}: holds no transitions; run scripts.train.rollouts first")
    n_back = max(1, round(HOLD_BACK * len(paths)))
    return _joined(paths[:-n_back] or paths), _joined(paths[-n_back:])


def _joined(paths: list[Path]) -> list[Tensor]:
    parts: list[list[Tensor]] = [[], [], [], []]
    for path in paths:
        with np.load(path) as file:
            for part, name in zip(parts, ("states", "actions", "spent", "after"), strict=True):
                part.append(torch.from_numpy(file[name]))
    states, actions, spent, after = (torch.cat(part) for part in parts)
    return [states.float(), actions.long(), -spent.float(), after.float()]


def possible(states: Tensor) -> Tensor:
    """Return which actions a state leaves: none towards Spot where all is Spot, and the reverse."""
    ratio = states[:, 11:12]
    return torch.cat(
        [
            (ratio < 1.0)
            if action.towards_spot
            else (ratio > 0.0)
            if action.away_from_spot
            else torch.ones_like(ratio, dtype=torch.bool)
            for action in ACTIONS
        ],
        dim=1,
    )


def targets(online: Policy, slow: Policy, rewards: Tensor, after: Tensor) -> Tensor:
    """Return the double-DQN target: the online network picks, the slow one values."""
    with torch.no_grad():
        picked = online(after).masked_fill(~possible(after), -1e9).argmax(dim=1, keepdim=True)
        return rewards + DISCOUNT * slow(after).gather(1, picked).squeeze(1)


def train(folder: Path, seed: int, out: Path) -> Policy:
    """Fit one network and write it down."""
    settle(seed)
    fitted, judged = read_transitions(folder)
    spread = fitted[0].std(dim=0)
    spread = torch.where(spread < 1e-4, torch.ones_like(spread), spread)
    online, slow = (Policy(fitted[0].mean(dim=0), spread) for _ in range(2))
    slow.load_state_dict(online.state_dict())
    optimizer = torch.optim.Adam(online.parameters(), lr=LEARNING_RATE, weight_decay=1e-5)
    run = out / f"policy-{seed}"
    run.mkdir(parents=True, exist_ok=True)
    log: list[dict[str, float]] = []
    for step in range(1, N_STEPS + 1):
        rows = torch.randint(len(fitted[0]), (BATCH,))
        states, actions, rewards, after = (part[rows] for part in fitted)
        said = online(states).gather(1, actions[:, None]).squeeze(1)
        loss = nn.functional.smooth_l1_loss(said, targets(online, slow, rewards, after))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(online.parameters(), 1.0)
        optimizer.step()
        if step % TARGET_EVERY == 0:
            slow.load_state_dict(online.state_dict())
        if step % JUDGE_EVERY == 0:
            error = float(_error(online, slow, judged))
            log.append({"seed": seed, "step": step, "bellman_error_held_back": round(error, 6)})
            print(json.dumps(log[-1]), flush=True)
            if error <= min(line["bellman_error_held_back"] for line in log) + 1e-6:
                torch.save(online.state_dict(), run / "policy.pt")
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    return load_network(run)


def _error(online: Policy, slow: Policy, judged: list[Tensor]) -> Tensor:
    states, actions, rewards, after = judged
    with torch.no_grad():
        said = online(states).gather(1, actions[:, None]).squeeze(1)
    return ((said - targets(online, slow, rewards, after)) ** 2).mean()


def load_network(run: Path) -> Policy:
    """Return a network that was written down."""
    network = Policy(torch.zeros(STATE_SIZE), torch.ones(STATE_SIZE))
    network.load_state_dict(torch.load(run / "policy.pt", weights_only=True))
    network.eval()
    return network


def main() -> None:
    """Fit some seeds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rollouts", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    for seed in options.seed:
        train(options.rollouts, seed, options.out)


if __name__ == "__main__":
    main()
