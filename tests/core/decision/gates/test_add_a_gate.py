"""The steps of CONTRIBUTING.md, "Add a gate", followed in a copy of the tree."""

import shutil
import subprocess
import sys

import pytest

from tests.paths import ROOT

FUNCTION = '''

@gate(GateName.POOL_NAME, Concern.DISRUPTION)
def pool_name(case: Case, reply: Reply) -> Verdict:
    """The pool has a short name.

    Compares: its letters with three.
    """
    n = len(case.pool.pool)
    return reply.allow("short", n=n) if n <= 3 else reply.refuse("too long", n=n)
'''

A_TEST = """
from spotvortex.core.decision.reconcile import decide
from spotvortex.core.record.record import record_of
from tests.core.builders import basis, pool_input

def answer(name):
    decision = decide(basis(pool_input(pool=name)))
    assert '"pool_name"' in record_of(decision, "", "").line
    assert "pool_name" == decision.verdicts[-1].gate
    return decision.verdicts[-1].outcome, decision.reason

assert answer("web") == ("allow", "economic_increase"), answer("web")
assert answer("webs") == ("refuse", "refused_by_pool_name"), answer("webs")
"""


def run(tree, *arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=tree,
        env={"PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=False,
    )


def contents(tree):
    files = [p for p in tree.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    return {str(p.relative_to(tree)): p.read_bytes() for p in files}


@pytest.mark.program
def test_a_new_gate_is_four_files(tmp_path):
    for folder in ("spotvortex", "scripts", "docs"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pyc*"))
    (tmp_path / "tests").mkdir()
    shutil.copytree(ROOT / "tests/core", tmp_path / "tests/core")
    shutil.copy(ROOT / "tests/__init__.py", tmp_path / "tests")
    before = contents(tmp_path)

    names = tmp_path / "spotvortex/core/domain/types.py"
    last = '    MODE = "mode"\n'
    assert last in names.read_text()
    names.write_text(names.read_text().replace(last, last + '    POOL_NAME = "pool_name"\n'))
    with (tmp_path / "spotvortex/core/decision/gates/market.py").open("a") as module:
        module.write(FUNCTION)
    assert run(tmp_path, "-m", "scripts.gates", "--check").returncode == 1
    assert run(tmp_path, "-m", "scripts.gates").returncode == 0
    test = tmp_path / "tests/core/decision/gates/test_gates.py"
    test.write_text(test.read_text() + A_TEST)

    after = contents(tmp_path)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {
        "spotvortex/core/domain/types.py",
        "spotvortex/core/decision/gates/market.py",
        "tests/core/decision/gates/test_gates.py",
        "docs/gates.md",
    }
    assert run(tmp_path, "-m", "scripts.gates", "--check").returncode == 0
    tried = run(tmp_path, "-c", A_TEST)
    assert tried.returncode == 0, tried.stderr
