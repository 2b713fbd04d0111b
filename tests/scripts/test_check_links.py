"""Dead links are named by file and line; code and addresses are left alone."""

import subprocess

import pytest

from scripts.check_links import anchors, main, slug

pytestmark = pytest.mark.program


@pytest.fixture
def tree(tmp_path):
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("ignored.md\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a page.md").write_text("# One\n## One\n<a id='here'></a>\n")
    return tmp_path


def check(tree, text: str, capsys) -> list[str]:
    (tree / "README.md").write_text(text)
    status = main(tree)
    lines = capsys.readouterr().out.splitlines()
    assert status == (1 if lines else 0)
    return lines


@pytest.mark.parametrize(
    "link",
    [
        "[a](docs/a%20page.md)",
        "[a](<docs/a page.md>)",
        "[a](docs)",
        "[a](docs/a%20page.md#one-1)",
        "[a](docs/a%20page.md#here)",
        '[a](docs/a%20page.md "a title")',
        "[a](#top)",
        "[a](https://example.com/none#x) <mailto:a@example.com>",
        "[a][b]\n\n[b]: docs/a%20page.md",
        "`[a](none.md)` and ``[a](`none.md`)``",
        "```\n[a](none.md)\n```",
        "~~~~\n```\n[a](none.md)\n~~~~",
        "a footnote[^1]\n\n[^1]: none.md",
    ],
)
def test_a_good_link_is_passed(tree, link, capsys):
    assert check(tree, f"# Top\n{link}\n", capsys) == []


@pytest.mark.parametrize(
    ("link", "wrong"),
    [
        ("[a](none.md)", "none.md does not exist"),
        ("![a](none.png)", "none.png does not exist"),
        ("[a](docs) [b](none.md)", "none.md does not exist"),
        ("[a](#nowhere)", "#nowhere names no heading"),
        ("[a](docs/a%20page.md#two)", "docs/a%20page.md#two names no heading"),
        ("[a](../elsewhere.md)", "../elsewhere.md leaves the repository"),
        ("[a](/docs)", "/docs is not relative"),
        ("[b]: none.md", "none.md does not exist"),
    ],
)
def test_a_dead_link_is_named_with_its_line(tree, link, wrong, capsys):
    assert check(tree, f"# Top\n\n{link}\n", capsys) == [f"README.md:3: {wrong}"]


def test_an_ignored_file_is_not_checked(tree, capsys):
    (tree / "ignored.md").write_text("[a](none.md)\n")
    assert check(tree, "fine\n", capsys) == []


def test_anchors_are_made_like_those_of_the_forge(tree):
    assert anchors(tree / "docs" / "a page.md") == {"one", "one-1", "here"}
    assert slug("What `run` does, and why [it](x.md) does") == "what-run-does-and-why-it-does"


@pytest.mark.parametrize(
    ("code", "dead"),
    [
        ("`core/gone.py`", ["core/gone.py"]),
        ("`core/here.py` and `spotvortex/core/here.py::test`", []),
        ("```\n`core/gone.py`\n```", []),
        ("core/gone.py outside of code", []),
    ],
)
def test_a_module_that_is_not_there_is_named(tree, code, dead, capsys):
    (tree / "spotvortex" / "core").mkdir(parents=True)
    (tree / "spotvortex" / "core" / "here.py").write_text("")
    assert check(tree, code + "\n", capsys) == [f"README.md:1: {m} does not exist" for m in dead]
