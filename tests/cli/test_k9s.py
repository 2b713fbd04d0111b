"""The plugins for k9s: each calls a command that there is, with options that it takes."""

import re
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from spotvortex.cli.main import cli
from tests.paths import ROOT

PLUGINS: dict[str, dict[str, Any]] = yaml.safe_load(
    (ROOT / "deploy" / "k9s" / "plugins.yaml").read_text()
)["plugins"]


def called(plugin: dict[str, Any]) -> list[str]:
    """The words of its call of spotvortex, up to where they go through a pipe."""
    line = " ".join([plugin["command"], *plugin["args"]])
    found = re.search(r"spotvortex ([^|>]*?)(?: 2)?\s*(?:[|>]|$)", line)
    assert found is not None, line
    return found[1].split()


@pytest.mark.parametrize("name", PLUGINS)
def test_each_plugin_calls_a_command_with_options_that_it_takes(name):
    plugin = PLUGINS[name]
    assert {"shortCut", "description", "scopes", "command", "background", "args"} == set(plugin)
    words = called(plugin)
    shown = CliRunner().invoke(cli, [words[0], "--help"])
    assert shown.exit_code == 0, shown.output
    for option in (word for word in words if word.startswith("--")):
        assert option in shown.output, option


def test_no_two_plugins_of_one_scope_have_the_same_key():
    keys = [(scope, p["shortCut"]) for p in PLUGINS.values() for scope in p["scopes"]]
    assert len(keys) == len(set(keys))
