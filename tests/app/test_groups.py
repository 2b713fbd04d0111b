"""AWS is asked about groups where that is wished, or where the pod has a role of its own."""

import pytest

from spotvortex.app.groups import asks_for_groups, scaling_groups
from spotvortex.errors import SettingsError
from spotvortex.settings.model import Settings

ROLE = {"AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_REGION": "us-east-1"}
NAMES = (*ROLE, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_DEFAULT_REGION", "AWS_PROFILE")


@pytest.fixture(autouse=True)
def _no_role(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")


@pytest.mark.parametrize(
    ("word", "with_role", "without"),
    [
        ("auto", True, False),
        ("asg", True, True),
        ("mng", True, True),
        ("karpenter", False, False),
        ("cluster-autoscaler", False, False),
        ("none", False, False),
    ],
)
def test_who_is_asked(monkeypatch, word, with_role, without):
    settings = Settings(provisioner=word)
    assert asks_for_groups(settings) is without
    for name, value in ROLE.items():
        monkeypatch.setenv(name, value)
    assert asks_for_groups(settings) is with_role


async def test_without_a_region_auto_goes_on_and_a_wish_by_name_says_the_fix(monkeypatch):
    async with scaling_groups(Settings()) as none:
        assert none is None
    with pytest.raises(SettingsError, match="set AWS_REGION"):
        async with scaling_groups(Settings(provisioner="asg")):
            pass


@pytest.mark.parametrize(
    ("word", "tagged", "managed", "every"),
    [("auto", True, True, False), ("asg", True, False, False), ("mng", False, True, True)],
)
async def test_which_groups_count(monkeypatch, word, tagged, managed, every):
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/")
    for name in ("AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "us-east-1")
    settings = Settings(provisioner=word, cluster_name="blue", pool_tag="team/pool")
    async with scaling_groups(settings) as groups:
        assert (groups.tagged, groups._eks is not None, groups.all_managed) == (
            tagged,
            managed,
            every,
        )
        assert (groups.tags.pool, groups.tags.cluster) == ("team/pool", "blue")
