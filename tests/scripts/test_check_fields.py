"""A field of a public record that no text explains is named by file and line."""

import pytest

from scripts.check_fields import faults, main

HEAD = "@dataclass(frozen=True)\nclass Record:\n"
FIELDS = "    a: int\n    b: int\n    c: int\n    d: int = 0\n"


def missing(source: str) -> list[str]:
    return [what for _, what in faults(source)]


def test_fields_listed_under_attributes_are_explained():
    docstring = '    """One.\n\n    Attributes:\n        a, b: x.\n        c: x\n            d: x\n'
    assert missing(f'{HEAD}{docstring}    """\n{FIELDS}') == ["Record.d"]
    assert missing(f'{HEAD}{docstring}        d: last.\n    """\n{FIELDS}') == []


def test_a_section_ends_where_the_next_begins():
    docstring = (
        '    """One.\n\n    Attributes:\n        a: x.\n\n    Note:\n        b: x.\n    """\n'
    )
    assert missing(HEAD + docstring + FIELDS) == ["Record.b", "Record.c", "Record.d"]


def test_a_name_without_text_and_a_paragraph_explain_nothing():
    docstring = (
        '    """`a` and `b` are sides.\n\n    Attributes:\n        c:\n        d: last.\n    """\n'
    )
    assert missing(HEAD + docstring + FIELDS) == ["Record.a", "Record.b", "Record.c"]


def test_a_line_about_a_field_that_has_gone_is_a_fault():
    docstring = '    """One.\n\n    Attributes:\n        a, b, c, d, e, f: x.\n    """\n'
    shown = "    @property\n    def f(self) -> int:\n        return 1\n"
    assert missing(HEAD + docstring + FIELDS + shown) == ["Record.e is no field"]


def test_a_string_below_a_field_explains_it():
    below = FIELDS.replace("b: int\n", 'b: int\n    """The second."""\n')
    assert missing(HEAD + below) == ["Record.a", "Record.c", "Record.d"]


@pytest.mark.parametrize(
    "head",
    [
        "@dataclass\nclass Record:\n",
        "@dataclasses.dataclass(slots=True)\nclass Record:\n",
        "class Record(msgspec.Struct, frozen=True):\n",
        "class Record(NamedTuple):\n",
        "class Base(Struct):\n    x: int\nclass Record(Base):\n",
    ],
)
def test_every_kind_of_record_is_checked(head):
    assert missing(head + FIELDS) == ["Record.a", "Record.b", "Record.c", "Record.d"]


@pytest.mark.parametrize(
    "source",
    [
        f"class Plain:\n{FIELDS}",
        f"@dataclass\nclass _Private:\n{FIELDS}",
        "@dataclass\nclass Small:\n    a: int\n    b: int\n    c: int\n    _d: int\n",
        "@dataclass\nclass Small:\n    a: int\n    b: int\n    c: int\n    D: ClassVar[int] = 1\n",
    ],
)
def test_plain_private_and_small_classes_may_go_without(source):
    assert missing(source) == []


def test_a_field_is_named_with_its_file_and_line(tmp_path, capsys):
    (tmp_path / "spotvortex" / "room").mkdir(parents=True)
    (tmp_path / "spotvortex" / "good.py").write_text("x = 1\n")
    assert main(tmp_path) == 0
    (tmp_path / "spotvortex" / "room" / "bad.py").write_text(HEAD + FIELDS)
    assert main(tmp_path) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"spotvortex/room/bad.py:{line} Record.{name}" for line, name in enumerate("abcd", start=3)
    ]
