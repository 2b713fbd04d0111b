"""The workflows ask for the least, run what is there, and give a release all of its parts."""

import re

import pytest
import yaml

from tests.paths import ROOT

WORKFLOWS = ROOT / ".github" / "workflows"
RIGHTS = {
    ("release", "image"): {"contents", "packages", "id-token", "attestations"},
    ("release", "files"): {"contents", "packages", "id-token", "attestations"},
    ("release", "wheel"): {"id-token"},
}
"""Jobs that may do more than read, and what for."""

PINNED = re.compile(r"[\w.-]+/[\w./-]+@(v\d+|release/v\d+|[0-9a-f]{40})")


def workflows():
    return {path.stem: yaml.safe_load(path.read_text()) for path in sorted(WORKFLOWS.iterdir())}


def jobs():
    return [(w, name, job) for w, flow in workflows().items() for name, job in flow["jobs"].items()]


def steps():
    return [(w, name, step) for w, name, job in jobs() for step in job["steps"]]


def test_both_workflows_are_there_and_begin_with_reading_alone():
    assert set(workflows()) == {"release", "test"}
    for flow in workflows().values():
        # YAML reads `on` as a truth value.
        assert flow.keys() >= {"name", True, "permissions", "jobs"}
        assert flow["permissions"] == {"contents": "read"}


def test_a_job_may_do_more_only_where_it_publishes():
    for workflow, name, job in jobs():
        assert set(job.get("permissions", {})) == RIGHTS.get((workflow, name), set())
        assert job["timeout-minutes"] <= 120
        assert job["runs-on"]


def test_nothing_that_a_pull_request_runs_may_write():
    flow = workflows()["test"]
    assert set(flow[True]) == {"push", "pull_request"}
    assert not any("secrets." in yaml.safe_dump(job) for job in flow["jobs"].values())


def test_every_action_stands_at_a_version_and_no_checkout_keeps_its_token():
    used = [step for _, _, step in steps() if "uses" in step]
    assert all(PINNED.fullmatch(step["uses"]) for step in used)
    for step in used:
        if step["uses"].startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
    assert all(("uses" in step) != ("run" in step) for _, _, step in steps())


def test_no_line_of_a_shell_holds_an_expression():
    """What somebody else may choose comes by a variable, so that no shell reads it as its own."""
    for _, name, step in steps():
        assert "${{" not in step.get("run", ""), name


def test_what_is_made_is_a_target_and_what_is_run_a_script():
    makefile = (ROOT / "Makefile").read_text()
    for _, _, step in steps():
        for target in re.findall(r"\bmake ([a-z-]+)", step.get("run", "")):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
        for module in re.findall(r"python -m (scripts\.\w+)", step.get("run", "")):
            assert (ROOT / module.replace(".", "/")).is_dir()


def test_needs_name_jobs_and_outputs_of_theirs():
    for flow in workflows().values():
        for job in flow["jobs"].values():
            needs = job.get("needs", [])
            assert {needs} if isinstance(needs, str) else set(needs) <= flow["jobs"].keys()
            for other, output in re.findall(r"needs\.(\w+)\.outputs\.(\w+)", yaml.safe_dump(job)):
                assert other in needs
                assert output in flow["jobs"][other]["outputs"]


@pytest.mark.parametrize(
    "said",
    [
        "linux/amd64,linux/arm64",
        "provenance: mode=max",
        "sbom: true",
        'cosign sign --yes "$IMAGE@$DIGEST"',
        "cosign sign-blob --yes",
        "attest-build-provenance",
        "helm push",
        "gh-action-pypi-publish",
        "gh release create",
        "BASE=${{ steps.base.outputs.base }}",
    ],
)
def test_a_release_is_built_for_both_processors_signed_and_published(said):
    assert said in (WORKFLOWS / "release.yaml").read_text()
