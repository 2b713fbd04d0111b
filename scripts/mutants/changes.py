"""Every change of a module that a test could notice, and a draw of them.

Comes in: packages, a number, a seed. Goes out: mutants, each a module with one operator,
comparison, constant, condition or returned value changed in what runs inside its functions. The
draw takes the first of an order that each mutant's key gives it by itself, so that an edit
elsewhere leaves the others drawn. May not run anything.
"""

from __future__ import annotations

import ast
import copy
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]

_Maker = Callable[[], str]
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
        start: first line of the statement that holds it.
        text: what stands there.
        what: before and after, in a few words.
        source: the module's text with the change.
    """

    path: str
    line: int
    start: int
    text: str
    what: str
    source: str

    @property
    def key(self) -> str:
        """By what it is named in the list of equivalent ones: module, line of text, change."""
        return f"{self.path}: {self.text} [{self.what}]"


def mutants_of(source: str, path: str) -> Iterator[tuple[Mutant, _Maker]]:
    """Yield every change of a module, its text still unmade, and a function that makes it."""
    tree, lines = ast.parse(source), source.splitlines()
    for index, (node, start) in enumerate(_executed(tree)):
        for what, change in _changes(node):
            line = getattr(node, "lineno", start)
            text = lines[line - 1].strip()
            unmade = Mutant(path=path, line=line, start=start, text=text, what=what, source="")
            yield unmade, _maker(tree, index, change)


def _maker(tree: ast.Module, index: int, change: Callable[[ast.AST], None]) -> _Maker:
    def make() -> str:
        copied = copy.deepcopy(tree)
        node, _ = list(_executed(copied))[index]
        change(node)
        return ast.unparse(ast.fix_missing_locations(copied))

    return make


def _executed(tree: ast.Module) -> Iterator[tuple[ast.AST, int]]:
    """Yield what runs inside functions, and where its statement begins.

    Annotations, docstrings, assertions and the texts of exceptions are left out.
    """
    for outer in ast.walk(tree):
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef):
            for statement in outer.body:
                if not _is_text(statement):
                    yield from _inside(statement, statement.lineno)


def _inside(node: ast.AST, start: int) -> Iterator[tuple[ast.AST, int]]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Assert | ast.Raise):
        return
    if isinstance(node, ast.stmt):
        start = node.lineno
    yield node, start
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _inside(child, start)


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
        case ast.Return(value=ast.expr() as value) if not _is_no(value):
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


def _is_no(node: ast.AST) -> bool:
    """None in place of False says the same to whoever asks for its truth."""
    return isinstance(node, ast.Constant) and (node.value is None or node.value is False)


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
    drawn = sorted(_ranked(packages, seed), key=lambda ranked: ranked[0])[:n]
    return [replace(unmade, source=make()) for _, unmade, make in drawn]


def _ranked(packages: Sequence[str], seed: int) -> Iterator[tuple[bytes, Mutant, _Maker]]:
    """Yield every mutant with its rank: a digest of seed, key and number among equals."""
    for package in packages:
        for module in sorted((ROOT / package).rglob("*.py")):
            seen = Counter[str]()
            source, path = module.read_text(encoding="utf-8"), module.relative_to(ROOT).as_posix()
            for unmade, make in mutants_of(source, path):
                named = f"{seed} {seen[unmade.key]} {unmade.key}"
                seen[unmade.key] += 1
                yield hashlib.sha256(named.encode()).digest(), unmade, make
