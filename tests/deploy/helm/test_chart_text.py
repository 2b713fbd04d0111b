"""A template has the lines of every condition, and never two for one line."""

import pytest

from scripts.chart.builds import SOURCE
from scripts.chart.templates import COMPONENTS
from scripts.chart.text import OverlapError, merged


def test_a_change_stands_between_its_conditions_and_equal_changes_share_them():
    plain, more = ["a", "b"], ["a", "x", "b"]
    assert merged(plain, {"p": more, "q": more}) == [
        "a",
        "{{- if or (p) (q) }}",
        "x",
        "{{- end }}",
        "b",
    ]


def test_what_is_replaced_stays_where_the_condition_does_not_hold():
    lines = merged(["a", "b"], {"p": ["a", "c"], "q": ["a", "b"]})
    assert lines == ["a", "{{- if p }}", "c", "{{- else }}", "b", "{{- end }}"]


def test_two_conditions_that_change_a_line_differently_are_refused():
    with pytest.raises(OverlapError):
        merged(["a", "b"], {"p": ["a", "c"], "q": ["a", "d"]})


def test_every_component_of_the_folder_is_a_value():
    folders = {path.name for path in (SOURCE / "components").iterdir()}
    assert {c.folder for c in COMPONENTS} == folders
