"""Every mutant is one change, and a change that no test notices is named."""

import ast

from scripts.mutants import draw, mutants_of

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


def changes(tmp_path, source=SOURCE):
    path = tmp_path / "module.py"
    path.write_text(source)
    return [(line, what, make()) for line, what, make in mutants_of(path)]


def test_operators_comparisons_constants_returns_and_conditions_are_changed(tmp_path):
    found = {(line, what) for line, what, _ in changes(tmp_path)}
    assert found == {
        (9, "Gt -> GtE"),
        (10, "not dropped"),
        (12, "Add -> Sub"),
        (12, "2 -> 3"),
        (12, "returned value -> None"),
    }


def test_each_mutant_compiles_and_differs(tmp_path):
    plain = ast.unparse(ast.parse(SOURCE))
    made = [source for _, _, source in changes(tmp_path)]
    assert len(set(made)) == len(made)
    for source in made:
        compile(source, "module.py", "exec")
        assert source != plain


def test_assertions_annotations_docstrings_and_defaults_are_left_alone(tmp_path):
    for _, _, source in changes(tmp_path):
        assert "assert bound > 0" in source
        assert "bound: int=1" in source


def test_the_same_seed_draws_the_same_mutants():
    first, second = (draw(["spotvortex/core/domain"], 5, 7) for _ in range(2))
    assert [m.key for m in first] == [m.key for m in second]
    assert [m.key for m in first] != [m.key for m in draw(["spotvortex/core/domain"], 5, 8)]
