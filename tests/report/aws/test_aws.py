"""What is printed for AWS is what the code uses, neither more nor less, and valid."""

import ast
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import spotvortex.aws
from scripts import iam
from spotvortex.cli.main import cli
from spotvortex.core.domain.cloud.notices import EVENTS
from spotvortex.errors import SettingsError
from spotvortex.report.aws.policies import GroupRights, rights_policy, trust_policy
from spotvortex.report.aws.resources import TemplateForm, resources
from spotvortex.report.aws.rights import GROUP_WRITES, RIGHTS, Bound

QUEUE = "arn:aws:sqs:us-east-1:123456789012:spotvortex-notices"
KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
MOVING = GroupRights(reads=True, writes=True, cluster="blue")
OIDC = "https://oidc.eks.us-east-1.amazonaws.com/id/0A1B2C"


CLIENTS = {
    "_client": "",
    "_autoscaling": "autoscaling",
    "_eks": "eks",
    "_ec2": "ec2",
    "_quotas": "servicequotas",
    "_metrics": "cloudwatch",
}
"""What clients are called, with their service where the name tells it."""


def called():
    """Every method of a client that the room `aws` calls, with the client's name."""
    found = set()
    for path in Path(spotvortex.aws.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            is_client = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute)
            if is_client and node.value.attr in CLIENTS and "_" in node.attr:
                found.add((CLIENTS[node.value.attr], node.attr))
    return found


def actions(policy):
    return [a for s in json.loads(policy)["Statement"] for a in s["Action"]]


def action_of(service, method):
    """The action that a method needs; that of a batch is the action of one (SQS API Reference)."""
    name = "".join(word.capitalize() for word in method.removesuffix("_batch").split("_"))
    services = {"Describe": "ec2", "GetSpot": "ec2", "GetProducts": "pricing"}
    service = service or next((s for k, s in services.items() if name.startswith(k)), "sqs")
    return f"{service}:{name}"


def test_what_is_granted_is_what_the_code_calls():
    granted = {r.action for r in RIGHTS if r.scope is not Bound.KEY}
    assert {action_of(*method) for method in called()} == granted
    every = rights_policy(QUEUE, KEY, MOVING)
    assert set(actions(every)) == {r.action for r in RIGHTS}


def test_without_a_queue_only_prices_are_granted_and_each_right_is_bound_as_far_as_it_can_be():
    assert actions(rights_policy()) == [
        "ec2:DescribeSpotPriceHistory",
        "ec2:GetSpotPlacementScores",
        "ec2:DescribeAvailabilityZones",
        "pricing:GetProducts",
    ]
    bound = {s["Sid"]: s["Resource"] for s in json.loads(rights_policy(QUEUE, KEY))["Statement"]}
    free = {"SpotPrices": "*", "ListPrices": "*"}
    assert bound == free | {"Notices": QUEUE, "KeyOfNotices": KEY}


def test_no_right_writes_to_anything_but_the_queue_and_the_groups_where_they_are_moved():
    reading = ("Describe", "Get", "Receive", "Decrypt")
    writing = {r.action for r in RIGHTS if not r.action.partition(":")[2].startswith(reading)}
    assert writing == {"sqs:DeleteMessage", "sqs:ChangeMessageVisibility"} | GROUP_WRITES


def test_who_only_reads_groups_is_granted_no_write_and_who_moves_them_only_by_tag_or_cluster():
    reads = rights_policy(groups=replace(MOVING, writes=False))
    assert not GROUP_WRITES & set(actions(reads))
    for statement in json.loads(rights_policy(groups=MOVING))["Statement"]:
        if GROUP_WRITES & set(statement["Action"]):
            assert "Condition" in statement or statement["Resource"].endswith("nodegroup/blue/*")
    without = rights_policy(groups=replace(MOVING, cluster=""))
    assert not [a for a in actions(without) if a.startswith("eks:")]


def test_the_role_is_for_the_daemons_account_alone():
    (by_token,) = json.loads(trust_policy("spot", OIDC, "123456789012"))["Statement"]
    issuer = OIDC.removeprefix("https://")
    assert by_token["Condition"]["StringEquals"] == {
        f"{issuer}:sub": "system:serviceaccount:spot:spotvortex",
        f"{issuer}:aud": "sts.amazonaws.com",
    }
    assert by_token["Principal"]["Federated"].endswith(f":oidc-provider/{issuer}")
    (by_agent,) = json.loads(trust_policy("spot"))["Statement"]
    assert by_agent["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    assert by_agent["Condition"]["StringEquals"]["aws:RequestTag/kubernetes-namespace"] == "spot"


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("us-east-1", "aws"),
        ("", "aws"),
        ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
        ("us-iso-east-1", "aws-iso"),
        ("us-isob-east-1", "aws-iso-b"),
        ("eusc-de-east-1", "aws-eusc"),
    ],
)
def test_arns_are_of_the_partition_of_their_region(region, partition):
    policy = json.loads(rights_policy(groups=replace(MOVING, region=region)))
    (named,) = (s["Resource"] for s in policy["Statement"] if s["Sid"] == "NodeGroups")
    assert named == f"arn:{partition}:eks:*:*:nodegroup/blue/*"
    issuer = f"oidc.eks.{region or 'eu-west-1'}.amazonaws.com/id/0A1B2C"
    (trust,) = json.loads(trust_policy("spot", issuer, "123456789012"))["Statement"]
    arn = f"arn:{partition}:iam::123456789012:oidc-provider/{issuer}"
    assert trust["Principal"]["Federated"] == arn


def test_the_policy_goes_by_the_region_of_the_environment(monkeypatch):
    monkeypatch.setenv("AWS_REGION", "us-gov-west-1")
    asked = ["aws", "policies", "--groups", "move", "--cluster", "blue"]
    done = CliRunner().invoke(cli, asked, catch_exceptions=False)
    assert '"arn:aws-us-gov:eks:*:*:nodegroup/blue/*"' in done.output


def test_groups_are_granted_by_the_tag_by_which_the_settings_find_them(monkeypatch):
    monkeypatch.setenv("SPOTVORTEX_POOL_TAG", "acme/pool")
    asked = ["aws", "policies", "--groups", "move"]
    done = CliRunner().invoke(cli, asked, catch_exceptions=False)
    (tagged,) = (s for s in json.loads(done.output)["Statement"] if s["Sid"] == "TaggedGroups")
    assert tagged["Condition"] == {"Null": {"aws:ResourceTag/acme/pool": "false"}}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: rights_policy("x"), "--queue-arn='x' is not the ARN of the queue"),
        (lambda: rights_policy(QUEUE, QUEUE), "is not the ARN of the queue's key"),
        (lambda: rights_policy("", KEY), "give --queue-arn too"),
        (lambda: trust_policy("a", OIDC, "12"), "give its twelve digits"),
        (lambda: trust_policy("a", "http://x", "123456789012"), "is no issuer of EKS"),
        (lambda: resources(TemplateForm.TERRAFORM, "a b"), "--name='a b'"),
    ],
)
def test_what_cannot_be_right_is_refused_with_the_fix(make, words):
    with pytest.raises(SettingsError, match=re.escape(words)):
        make()


def test_the_queue_hears_every_event_that_is_read_and_nothing_else():
    made = json.loads(resources(TemplateForm.CLOUDFORMATION))["Resources"]
    rules = [r["Properties"] for r in made.values() if r["Type"] == "AWS::Events::Rule"]
    heard = {(*r["EventPattern"]["source"], *r["EventPattern"]["detail-type"]) for r in rules}
    assert heard == set(EVENTS)
    assert all(len(r["Name"]) <= 64 for r in rules)
    targets = [t for r in rules for t in r["Targets"]]
    assert {t["Arn"]["Fn::GetAtt"][0] for t in targets} == {"Queue"}
    assert {t["DeadLetterConfig"]["Arn"]["Fn::GetAtt"][0] for t in targets} == {"DeadLetters"}
    text = resources(TemplateForm.TERRAFORM)
    assert all(source in text and detail in text for source, detail in EVENTS)


def test_both_queues_are_encrypted_and_take_messages_of_eventbridge_over_tls_alone():
    made = json.loads(resources(TemplateForm.CLOUDFORMATION, "mine"))["Resources"]
    queues = [r["Properties"] for r in made.values() if r["Type"] == "AWS::SQS::Queue"]
    assert [q["QueueName"] for q in queues] == ["mine", "mine-dead"]
    assert all(q["SqsManagedSseEnabled"] and "RedrivePolicy" not in q for q in queues)
    policies = [r["Properties"] for r in made.values() if r["Type"] == "AWS::SQS::QueuePolicy"]
    for policy in policies:
        allow, deny = policy["PolicyDocument"]["Statement"]
        assert allow["Principal"] == {"Service": "events.amazonaws.com"}
        assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert len(policies) == 2


def test_terraforms_braces_are_in_pairs():
    text = resources(TemplateForm.TERRAFORM)
    assert text.count("{") == text.count("}")
    assert '"spotvortex-notices-${each.key}"' in text


def test_the_page_of_rights_is_up_to_date():
    assert iam.PAGE.read_text("utf-8") == iam.page()
