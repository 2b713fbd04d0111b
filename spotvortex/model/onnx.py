"""A network that runs; the one module that knows onnxruntime.

Comes in: a graph's checked bytes, and what its ends must look like. Goes out: a `Network` that
takes rows and gives arrays. It runs on one thread and opens no file of its own. May not know what
the figures mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from spotvortex.errors import ModelContractError
from spotvortex.model.artifacts import Graph

Rows = NDArray[np.float32]
Tail = tuple[int, ...]
"""The dimensions behind the batch."""

MAX_BATCH: Final = 512
"""Rows given to the session at once; onnxruntime keeps the memory of its largest batch."""

_FLOAT32: Final = "tensor(float)"

# The library's errors share no base of their own, so they are taken as it lists them.
_ERRORS: Final[tuple[type[Exception], ...]] = (
    *(e for e in vars(ort_errors).values() if isinstance(e, type) and issubclass(e, Exception)),
    MemoryError,
    RuntimeError,
    ValueError,
)


class Network:
    """A graph with one float32 input whose first dimension is the batch, open or 1."""

    def __init__(
        self, graph: Graph, *, source: str, tail: Tail, outputs: Mapping[str, Tail | None]
    ) -> None:
        """Open a graph and check its ends.

        Args:
            graph: its bytes.
            source: the name of its one input.
            tail: the input's dimensions behind the batch.
            outputs: the tail of every output that is wanted; None for any.

        Raises:
            ModelContractError: it cannot be opened, or its ends are others.
        """
        self.name = graph.name
        self._source = source
        self._outputs = outputs
        self._session = _open(graph)
        self.batch = self._checked_batch(tail)
        self._check_outputs()

    def run(self, rows: Rows) -> list[Rows]:
        """Run at least one row.

        Args:
            rows: `float32[n, *tail]`, n >= 1; more than the graph takes at once go in turns.

        Returns:
            An array for each output, in the order in which they were named; n rows each.

        Raises:
            ModelContractError: the graph could not be run, or gave another shape.
        """
        turns = [
            self._run(rows[start : start + self.batch]) for start in range(0, len(rows), self.batch)
        ]
        return [np.concatenate(parts) for parts in zip(*turns, strict=True)]

    def _run(self, rows: Rows) -> list[Rows]:
        feed = {self._source: np.ascontiguousarray(rows, dtype=np.float32)}
        try:
            found = self._session.run(list(self._outputs), feed)
        except _ERRORS as error:
            raise ModelContractError(f"{self.name}: cannot be run: {_first_line(error)}") from error
        arrays = [np.atleast_1d(array) for array in found]
        for (name, tail), array in zip(self._outputs.items(), arrays, strict=True):
            if len(array) != len(rows) or (tail is not None and array.shape[1:] != tail):
                raise self._error(
                    f"{name!r} has shape {list(array.shape)} for {len(rows)} rows, "
                    f"expected {_words(tail)}"
                )
        return arrays

    def _checked_batch(self, tail: Tail) -> int:
        """Check the input, and return how many rows it takes at once."""
        inputs = {i.name: i for i in self._session.get_inputs()}
        if list(inputs) != [self._source]:
            raise self._error(f"takes {sorted(inputs)}, expected one input {self._source!r}")
        found = inputs[self._source]
        batch = found.shape[0] if found.shape else 0
        is_right = found.type == _FLOAT32 and tuple(found.shape[1:]) == tail
        if not is_right or (isinstance(batch, int) and batch != 1):
            raise self._mismatch(found, tail)
        return 1 if batch == 1 else MAX_BATCH

    def _check_outputs(self) -> None:
        given = {o.name: o for o in self._session.get_outputs()}
        for name, tail in self._outputs.items():
            if name not in given:
                raise self._error(f"has no output {name!r}, it gives {sorted(given)}")
            if given[name].type != _FLOAT32 or not _may_fit(given[name].shape, tail):
                raise self._mismatch(given[name], tail)

    def _mismatch(self, found: onnxruntime.NodeArg, tail: Tail | None) -> ModelContractError:
        return self._error(
            f"{found.name!r} is {found.type} of shape {found.shape}, expected {_words(tail)}"
        )

    def _error(self, what: str) -> ModelContractError:
        return ModelContractError(f"{self.name}: {what}. Export it again to that contract.")


def _open(graph: Graph) -> onnxruntime.InferenceSession:
    """Open a session from checked bytes, so that no other file can slip in."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.enable_cpu_mem_arena = False  # else the largest batch stays in memory
    options.log_severity_level = 4  # what is wrong is raised, and told once
    if graph.beside:
        contents = list(graph.beside.values())
        options.add_external_initializers_from_files_in_memory(
            list(graph.beside), contents, [len(content) for content in contents]
        )
    try:
        return onnxruntime.InferenceSession(
            graph.content, options, providers=["CPUExecutionProvider"]
        )
    except _ERRORS as error:
        raise ModelContractError(f"{graph.name}: cannot be opened: {_first_line(error)}") from error


def _may_fit(shape: Sequence[int | str | None], tail: Tail | None) -> bool:
    """Tell whether a declared shape leaves room for batch and tail; open dimensions do."""
    if tail is None:
        return True
    declared = shape[1:]
    return len(shape) == 1 + len(tail) and all(
        not isinstance(d, int) or d == wanted for d, wanted in zip(declared, tail, strict=True)
    )


def _words(tail: Tail | None) -> str:
    return f"float32[{', '.join(['batch', '...'] if tail is None else ['batch', *map(str, tail)])}]"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
