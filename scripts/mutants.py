"""Change the code at random and see whether a test notices.

Comes in: packages, the tests that have to notice, how many mutants, a seed. Goes out: how many of
them were killed, and each that was not, with its line; the exit code is 1 where fewer were killed
than `--at-least` asks. One run with coverage says which tests reach a line; a mutant is tried
against those alone, the quickest first, in a copy of the tree. Mutants that cannot change behaviour
stand in `scripts/mutants_equivalent.txt` with the reason and do not count. Nothing is written to
the tree itself.

    python -m scripts.mutants spotvortex/core --tests tests/core --n 300 --seed 1
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
EQUIVALENT: Final = ROOT / "scripts" / "mutants_equivalent.txt"
TIMEOUT_S: Final = 120.0
"""A mutant that runs for so long is killed: the tests would not end."""

MAX_TESTS: Final = 60
"""Tests that a mutant is tried against, the quickest of those that reach its line."""

_SWAPS: Final[dict[type[ast.AST], type[ast.AST]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One change.

    Attributes:
        path: the module, below the root.
        line: where.
        text: what stands there.
        what: before and after, in a few words.
        source: the module's text with the change.
    """

    path: str
    line: int
    text: str
    what: str
    source: str

    @property
    def key(self) -> str:
        """By what it is named in the list of equivalent ones: module, line of text, change."""
        return f"{self.path}: {self.text} [{self.what}]"


def mutants_of(path: Path) -> Iterator[tuple[int, str, Callable[[], str]]]:
    """Yield every change of a module: its line, what it is, and a function that makes the text."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for index, node in enumerate(_executed(tree)):
        for what, change in _changes(node):
            yield getattr(node, "lineno", 0), what, _maker(tree, index, change)


def _maker(tree: ast.Module, index: int, change: Callable[[ast.AST], None]) -> Callable[[], str]:
    def make() -> str:
        copied = copy.deepcopy(tree)
        change(list(_executed(copied))[index])
        return ast.unparse(ast.fix_missing_locations(copied))

    return make


def _executed(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield what runs inside functions, but not annotations, docstrings and assertions."""
    for outer in ast.walk(tree):
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef):
            for statement in outer.body:
                if not _is_text(statement):
                    yield from _inside(statement)


def _inside(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Assert | ast.Raise):
        return
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _inside(child)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _changes(node: ast.AST) -> Iterator[tuple[str, Callable[[ast.AST], None]]]:
    match node:
        case ast.BinOp(op=op) | ast.BoolOp(op=op) | ast.AugAssign(op=op) if type(op) in _SWAPS:
            yield f"{_name(op)} -> {_SWAPS[type(op)].__name__}", _swap_operator
        case ast.Compare(ops=[op]) if type(op) in _SWAPS:
            yield f"{_name(op)} -> {_SWAPS[type(op)].__name__}", _swap_comparison
        case ast.UnaryOp(op=ast.Not()):
            yield "not dropped", _drop_not
        case ast.Constant(value=bool(value)):
            yield f"{value} -> {not value}", _flip
        case ast.Constant(value=int(value) | float(value)):
            yield f"{value} -> {value + 1}", _add_one
        case ast.Return(value=ast.expr() as value) if not _is_none(value):
            yield "returned value -> None", _return_none
        case ast.If(test=test) | ast.IfExp(test=test) if not _is_negation(test):
            yield "condition negated", _negate
        case _:
            return


def _is_negation(node: ast.AST) -> bool:
    """A condition that begins with `not` is negated by dropping it, which is counted already."""
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)


def _name(op: ast.AST) -> str:
    return type(op).__name__


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _swap_operator(node: ast.AST) -> None:
    assert isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign)
    node.op = _SWAPS[type(node.op)]()  # type: ignore[assignment]


def _swap_comparison(node: ast.AST) -> None:
    assert isinstance(node, ast.Compare)
    node.ops = [_SWAPS[type(node.ops[0])]()]  # type: ignore[list-item]


def _drop_not(node: ast.AST) -> None:
    assert isinstance(node, ast.UnaryOp)
    node.op = ast.Not()
    node.operand = ast.UnaryOp(op=ast.Not(), operand=node.operand)


def _flip(node: ast.AST) -> None:
    assert isinstance(node, ast.Constant)
    node.value = not node.value


def _add_one(node: ast.AST) -> None:
    assert isinstance(node, ast.Constant)
    assert isinstance(node.value, int | float)
    node.value = node.value + 1


def _return_none(node: ast.AST) -> None:
    assert isinstance(node, ast.Return)
    node.value = ast.Constant(value=None)


def _negate(node: ast.AST) -> None:
    assert isinstance(node, ast.If | ast.IfExp)
    node.test = ast.UnaryOp(op=ast.Not(), operand=node.test)


def draw(packages: Sequence[str], n: int, seed: int) -> list[Mutant]:
    """Draw `n` mutants out of all that the modules of some packages have, without repetition."""
    found = [
        (module, *mutant)
        for package in packages
        for module in sorted((ROOT / package).rglob("*.py"))
        for mutant in mutants_of(module)
    ]
    drawn = random.Random(seed).sample(found, min(n, len(found)))
    return [
        Mutant(
            path=module.relative_to(ROOT).as_posix(),
            line=line,
            text=module.read_text(encoding="utf-8").splitlines()[line - 1].strip(),
            what=what,
            source=make(),
        )
        for module, line, what, make in drawn
    ]


class Bench:
    """A copy of the tree in which mutants are tried, and which tests reach which line there."""

    def __init__(self, folder: Path, tests: Sequence[str], selection: str) -> None:
        self._tree = folder / "tree"
        self._tests, self._selection = list(tests), selection
        skipped = shutil.ignore_patterns(".git", ".venv", "*.pyc", "__pycache__", ".*_cache")
        shutil.copytree(ROOT, self._tree, ignore=skipped)
        self._reached: dict[tuple[str, int], list[str]] = {}

    def map_lines(self) -> None:
        """Run the tests once with coverage, and keep which of them reach each line.

        Raises:
            SystemExit: a test fails without any mutant.
        """
        data = self._tree / "coverage.json"
        done = self._pytest(
            *self._tests,
            *("-m", self._selection) if self._selection else (),
            *("-q", "--cov=spotvortex", "--cov-context=test", "--cov-report="),
            "--durations=0",
            "--durations-min=0",
            timeout_s=3600.0,
        )
        if done.returncode:
            raise SystemExit(f"without a mutant:\n{done.stdout[-3000:]}")
        seconds = dict(_durations(done.stdout))
        command = ["-m", "coverage", "json", "--show-contexts", "-q", "-o", str(data)]
        subprocess.run([sys.executable, *command], cwd=self._tree, check=True)
        for path, found in json.loads(data.read_text())["files"].items():
            for line, contexts in found["contexts"].items():
                names = {context.partition("|")[0] for context in contexts if context}
                order = sorted(names, key=lambda name: seconds.get(name, 0.0))
                self._reached[path, int(line)] = order

    def kills(self, mutant: Mutant) -> bool:
        """Tell whether a test that reaches the line fails with the mutant."""
        tests = self._reached.get((mutant.path, mutant.line), [])[:MAX_TESTS]
        if not tests:
            return False
        target = self._tree / mutant.path
        before = target.read_text(encoding="utf-8")
        target.write_text(mutant.source, encoding="utf-8")
        try:
            done = self._pytest(*tests, "-x", "-q", timeout_s=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return True
        finally:
            target.write_text(before, encoding="utf-8")
        return done.returncode != 0

    def _pytest(self, *arguments: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider", *arguments],
            cwd=self._tree,
            env={**os.environ, "CI": "true", "PYTHONPATH": str(self._tree)},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )


def _durations(printed: str) -> Iterator[tuple[str, float]]:
    """Yield the seconds of each test out of what `--durations` prints."""
    for line in printed.splitlines():
        words = line.split(maxsplit=2)
        if len(words) == 3 and words[1] == "call" and words[0].endswith("s"):
            yield words[2], float(words[0][:-1])


def equivalent() -> dict[str, str]:
    """Return the reasons of mutants that change no behaviour, by key."""
    if not EQUIVALENT.exists():
        return {}
    lines = (line.partition(" # ") for line in EQUIVALENT.read_text().splitlines())
    return {key: reason for key, _, reason in lines if key and reason}


def main() -> int:
    """Try and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", nargs="+", help="folders below the root")
    parser.add_argument("--tests", nargs="+", required=True, help="what has to notice")
    parser.add_argument("--select", default="", help="a marker expression")
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--at-least", type=float, default=0.0, help="ratio that must be killed")
    options = parser.parse_args()
    mutants = draw(options.packages, options.n, options.seed)
    known, survivors, n_equivalent = equivalent(), [], 0
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), options.tests, options.select)
        bench.map_lines()
        print(f"lines mapped in {time.monotonic() - started:.0f} s", flush=True)
        for number, mutant in enumerate(mutants, 1):
            if bench.kills(mutant):
                continue
            if mutant.key in known:
                n_equivalent += 1
                continue
            survivors.append(mutant)
            print(
                f"{number}/{len(mutants)} survived at line {mutant.line}: {mutant.key}", flush=True
            )
    n_counted = len(mutants) - n_equivalent
    ratio = 1.0 - len(survivors) / n_counted
    print(
        f"{n_counted - len(survivors)} of {n_counted} killed ({ratio:.1%}), "
        f"{n_equivalent} equivalent, {time.monotonic() - started:.0f} s"
    )
    return 1 if ratio < options.at_least else 0


if __name__ == "__main__":
    sys.exit(main())
