"""Every mutant is one change, and a change that no test notices is named."""

import ast

from scripts.mutants.__main__ import equivalent
from scripts.mutants.bench import durations
from scripts.mutants.changes import ROOT, draw, mutants_of

SOURCE = '''"""A module."""

LIMIT = 3


def least(values: list[int], bound: int = 1) -> int | None:
    """Return the least value above a bound."""
    assert bound > 0
    found = [value for value in values if value > bound]
    if not found:
        return None
    return min(found) + 2
'''


def changes(source=SOURCE):
    return [(unmade.line, unmade.what, make()) for unmade, make in mutants_of(source, "module.py")]


def test_operators_comparisons_constants_returns_and_conditions_are_changed():
    found = {(line, what) for line, what, _ in changes()}
    assert found == {
        (9, "Gt -> GtE"),
        (10, "not dropped"),
        (12, "Add -> Sub"),
        (12, "2 -> 3"),
        (12, "returned value -> None"),
    }


def test_each_mutant_compiles_and_differs():
    plain = ast.unparse(ast.parse(SOURCE))
    made = [source for _, _, source in changes()]
    assert len(set(made)) == len(made)
    for source in made:
        compile(source, "module.py", "exec")
        assert source != plain


def test_assertions_annotations_docstrings_and_defaults_are_left_alone():
    for _, _, source in changes():
        assert "assert bound > 0" in source
        assert "bound: int=1" in source


def test_the_same_seed_draws_the_same_mutants():
    first, second = (draw(["spotvortex/core/domain"], 5, 7) for _ in range(2))
    assert [m.key for m in first] == [m.key for m in second]
    assert [m.key for m in first] != [m.key for m in draw(["spotvortex/core/domain"], 5, 8)]


def test_more_mutants_of_the_same_seed_begin_with_the_fewer():
    few, more = (draw(["spotvortex/core/domain"], n, 7) for n in (5, 9))
    assert [m.key for m in more[:5]] == [m.key for m in few]


def test_every_equivalent_mutant_exists_and_has_a_reason():
    reasons = equivalent()
    for path in {key.partition(": ")[0] for key in reasons}:
        found = {unmade.key for unmade, _ in mutants_of((ROOT / path).read_text(), path)}
        assert {key for key in reasons if key.startswith(f"{path}: ")} <= found
    assert all(reasons.values())


def test_the_seconds_of_a_test_are_those_of_its_setup_and_its_call():
    printed = (
        "0.10s setup    a.py::t[x y]\n1.50s call     a.py::t[x y]\n0.20s teardown a.py::t[x y]\n"
    )
    assert list(durations(printed)) == [("a.py::t[x y]", 0.1), ("a.py::t[x y]", 1.5)]
