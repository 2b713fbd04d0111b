"""A small Temporal Fusion Transformer for the hazard of losing a node.

Comes in: trajectories (`core.scoring.trajectory`), NaN where a value is unknown. Goes out: the
probability of a loss within each step ahead. The parts are those of Lim et al. (2021): a gated
residual network for every variable, variable selection for static, past and future inputs, an LSTM
over past and future started from the static covariates, static enrichment, and one attention with
shared values that can be read. It corrects the interruption memory: the hazard of a step is what
the memory says of it times exp(c), and c is bounded. May not read a column that is masked out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from spotvortex.core.scoring.trajectory import COLUMNS, N_KNOWN, N_OBSERVED, N_PAST, N_STEPS

N_AHEAD: Final = N_STEPS - N_PAST
N_TIMED: Final = N_OBSERVED + N_KNOWN
N_STATIC: Final = len(COLUMNS) - N_TIMED
MULTIPLE: Final = COLUMNS.index("log_hazard_multiple")
LEVEL: Final = COLUMNS.index("log_level_per_hour")
STEP_HOURS: Final = 1.0 / 6.0

LARGEST_CORRECTION: Final = 1.5
"""The network moves the memory's hazard by at most a factor of 4.5 either way."""

LARGEST_ALONE: Final = 6.0
"""The same where it starts from a constant: a factor of 400."""

CONSTANT: Final = -2.0
"""Log of the constant hazard an hour that it then starts from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How large the network is, and which columns it may read.

    Attributes:
        width: units of every layer.
        heads: heads of the attention.
        dropout: share of units left out in training.
        masked: names of columns that are always unknown to it.
        corrects: it corrects the memory's hazard; else it starts from one constant rate.
    """

    width: int = 16
    heads: int = 2
    dropout: float = 0.1
    masked: tuple[str, ...] = ()
    corrects: bool = True


class Gate(nn.Module):
    """Gated linear unit, added to a residual and normalised."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.both = nn.Linear(width, 2 * width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        """Return norm(residual + gate(x) x value(x))."""
        value, gate = self.both(self.dropout(x)).chunk(2, dim=-1)
        return self.norm(residual + value * torch.sigmoid(gate))


class Residual(nn.Module):
    """Gated residual network, with a context where there is one."""

    def __init__(self, n_in: int, width: int, n_out: int, dropout: float) -> None:
        super().__init__()
        self.skip = nn.Identity() if n_in == n_out else nn.Linear(n_in, n_out)
        self.first = nn.Linear(n_in, width)
        self.context = nn.Linear(width, width, bias=False)
        self.second = nn.Linear(width, n_out)
        self.gate = Gate(n_out, dropout)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the gated result."""
        hidden = self.first(x)
        if context is not None:
            hidden = hidden + self.context(context)
        return self.gate(self.second(nn.functional.elu(hidden)), self.skip(x))


class Selection(nn.Module):
    """Variable selection: one small network a variable, weighed by what all of them say."""

    def __init__(self, n: int, width: int, dropout: float) -> None:
        super().__init__()
        self.n, self.width = n, width
        self.scale = nn.Parameter(torch.randn(n, 1, width) * 0.3)
        self.shift = nn.Parameter(torch.zeros(n, 1, width))
        self.unknown = nn.Parameter(torch.randn(n, 1, width) * 0.1)
        self.inner = nn.Parameter(torch.randn(n, width, width) / width**0.5)
        self.outer = nn.Parameter(torch.randn(n, width, width) / width**0.5)
        self.norm = nn.LayerNorm(width)
        self.weigh = Residual(n * width, width, n, dropout)

    def forward(self, x: Tensor, known: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Select among variables.

        Args:
            x: [batch, n] of scaled values, 0 where unknown.
            known: [batch, n], 1 where known.
            context: [batch, width], or None.

        Returns:
            [batch, width], and the weights [batch, n].
        """
        x, known = x.t().unsqueeze(2), known.t().unsqueeze(2)
        made = x * self.scale + self.shift
        made = made * known + self.unknown * (1.0 - known)
        flat = made.transpose(0, 1).reshape(-1, self.n * self.width)
        weights = torch.softmax(self.weigh(flat, context), dim=-1)
        deeper = torch.bmm(nn.functional.elu(torch.bmm(made, self.inner)), self.outer)
        each = self.norm(made + deeper).transpose(0, 1)
        return (each * weights.unsqueeze(2)).sum(dim=1), weights


class Attention(nn.Module):
    """Attention whose heads share their values, so that their mean weight can be read."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, self.size)
        self.out = nn.Linear(self.size, width)
        self.register_buffer("later", torch.triu(torch.full((N_STEPS, N_STEPS), -1e9), 1)[N_PAST:])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Let each step ahead look at itself and what lies before; [batch, steps, width]."""
        query = self.query(x[:, N_PAST:]).reshape(-1, N_AHEAD, self.heads, self.size)
        key = self.key(x).reshape(-1, N_STEPS, self.heads, self.size)
        fit = torch.matmul(query.transpose(1, 2), key.permute(0, 2, 3, 1)) / self.size**0.5
        weights = torch.softmax(fit + self.later, dim=-1).mean(dim=1)
        return self.out(torch.matmul(weights, self.value(x))), weights


class Tft(nn.Module):
    """The network; see the module."""

    def __init__(self, shape: Shape, centre: Tensor, spread: Tensor) -> None:
        """Make a network.

        Args:
            shape: its size, and the columns that it may not read.
            centre: mean of each column.
            spread: deviation of each column.
        """
        super().__init__()
        width, dropout = shape.width, shape.dropout
        self.corrects = shape.corrects
        self.largest = LARGEST_CORRECTION if shape.corrects else LARGEST_ALONE
        self.register_buffer("centre", centre)
        self.register_buffer("spread", spread)
        open_columns = torch.tensor([float(name not in shape.masked) for name in COLUMNS])
        self.register_buffer("open", open_columns)
        self.pick_static = Selection(N_STATIC, width, dropout)
        self.pick_past = Selection(N_TIMED, width, dropout)
        self.pick_ahead = Selection(N_KNOWN, width, dropout)
        self.contexts = nn.ModuleList(Residual(width, width, width, dropout) for _ in range(4))
        self.read_past = nn.LSTM(width, width, batch_first=True)
        self.read_ahead = nn.LSTM(width, width, batch_first=True)
        self.after_lstm = Gate(width, dropout)
        self.enrich = Residual(width, width, width, dropout)
        self.attend = Attention(width, shape.heads)
        self.after_attention = Gate(width, dropout)
        self.feed = Residual(width, width, width, dropout)
        self.last = Gate(width, dropout)
        self.correction = nn.Linear(width, 1)
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)
        self.register_buffer("calibration", torch.tensor([0.0, 1.0]))

    def forward(self, x: Tensor) -> Tensor:
        """Return the calibrated probability of a loss by the end of each step ahead."""
        summed = torch.cumsum(torch.exp(self.log_hazard(x)[0]) * STEP_HOURS, dim=1)
        shift, power = self.calibration[0], self.calibration[1]
        return 1.0 - torch.exp(-torch.exp(shift + power * torch.log(summed.clamp(1e-9, 50.0))))

    def log_hazard(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the log of the hazard an hour of each step ahead, and what it looked at."""
        known = torch.where(torch.isnan(x), torch.zeros_like(x), torch.ones_like(x)) * self.open
        level, multiple = x[:, N_PAST:, LEVEL], x[:, N_PAST:, MULTIPLE]
        filled = torch.where(torch.isnan(x), self.centre.expand_as(x), x)
        scaled = ((filled - self.centre) / self.spread).clamp(-5.0, 5.0) * known
        static, w_static = self.pick_static(
            scaled[:, N_PAST - 1, N_TIMED:], known[:, N_PAST - 1, N_TIMED:], None
        )
        for_picking, for_state, for_cell, for_enriching = (make(static) for make in self.contexts)
        past, w_past = self._pick(self.pick_past, scaled, known, for_picking, is_past=True)
        ahead, w_ahead = self._pick(self.pick_ahead, scaled, known, for_picking, is_past=False)
        state = (for_state.unsqueeze(0), for_cell.unsqueeze(0))
        read, state = self.read_past(past, state)
        further, _ = self.read_ahead(ahead, state)
        seen = torch.cat([past, ahead], dim=1)
        read = self.after_lstm(torch.cat([read, further], dim=1), seen)
        rich = self.enrich(read, for_enriching.unsqueeze(1).expand_as(read))
        attended, w_attention = self.attend(rich)
        attended = self.after_attention(attended, rich[:, N_PAST:])
        made = self.last(self.feed(attended), read[:, N_PAST:])
        change = self.largest * torch.tanh(self.correction(made).squeeze(2) / self.largest)
        weights = {"static": w_static, "past": w_past, "ahead": w_ahead, "attention": w_attention}
        return (level + multiple if self.corrects else CONSTANT) + change, weights

    def _pick(
        self, pick: Selection, x: Tensor, known: Tensor, context: Tensor, *, is_past: bool
    ) -> tuple[Tensor, Tensor]:
        """Select among the timed columns of every step of one side."""
        rows = slice(0, N_PAST) if is_past else slice(N_PAST, N_STEPS)
        columns = slice(0, N_TIMED) if is_past else slice(N_OBSERVED, N_TIMED)
        n_steps = N_PAST if is_past else N_AHEAD
        x, known = x[:, rows, columns], known[:, rows, columns]
        repeated = context.unsqueeze(1).expand(-1, n_steps, -1).reshape(-1, context.shape[1])
        made, weights = pick(x.reshape(-1, x.shape[2]), known.reshape(-1, known.shape[2]), repeated)
        return (
            made.reshape(-1, n_steps, made.shape[1]),
            weights.reshape(-1, n_steps, weights.shape[1]),
        )
