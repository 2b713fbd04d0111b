"""A queue of notices of the daemon's own, as CloudFormation or Terraform.

Comes in: a name. Goes out: a template: the queue, one for what could not be delivered, a rule for
each event that the daemon reads, and who may send. The queue itself has no dead letters: a message
that waits for its mark is received again every 30 s, however often. It is never Karpenter's queue:
two readers of one queue rob each other of messages. May not call AWS.
"""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import Final, assert_never

from spotvortex.core.domain.cloud.notices import EVENTS
from spotvortex.errors import SettingsError

KEPT_S: Final = 1_209_600
"""How long a message is kept, fourteen days, the most that SQS allows: a change is scheduled as far
ahead, and its message waits until its node is drained. One that is too old is deleted when read."""

_TERRAFORM: Final = """data "aws_caller_identity" "current" {}

locals {
  events = {
@EVENTS@
  }
  queues = {
    notices      = "@NAME@"
    dead_letters = "@NAME@-dead"
  }
}

resource "aws_sqs_queue" "notices" {
  for_each                  = local.queues
  name                      = each.value
  message_retention_seconds = @KEPT_S@
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue_policy" "notices" {
  for_each  = local.queues
  queue_url = aws_sqs_queue.notices[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.notices[each.key].arn
        Condition = {
          StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id }
        }
      },
      {
        Effect    = "Deny"
        Principal = "*"
        Action    = "sqs:*"
        Resource  = aws_sqs_queue.notices[each.key].arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      }
    ]
  })
}

resource "aws_cloudwatch_event_rule" "notices" {
  for_each = local.events
  name     = substr("@NAME@-${each.key}", 0, 64)
  event_pattern = jsonencode({
    source      = [each.value.source]
    detail-type = [each.value.detail]
  })
}

resource "aws_cloudwatch_event_target" "notices" {
  for_each = local.events
  rule     = aws_cloudwatch_event_rule.notices[each.key].name
  arn      = aws_sqs_queue.notices["notices"].arn
  dead_letter_config {
    arn = aws_sqs_queue.notices["dead_letters"].arn
  }
}

output "queue_url" {
  value = aws_sqs_queue.notices["notices"].id
}

output "queue_arn" {
  value = aws_sqs_queue.notices["notices"].arn
}
"""
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,60}")


class TemplateForm(StrEnum):
    """What the template is written for."""

    CLOUDFORMATION = "cloudformation"
    TERRAFORM = "terraform"


def resources(form: TemplateForm, name: str = "spotvortex-notices") -> str:
    """Return the template.

    Raises:
        SettingsError: the name is none that queue and rules can have.
    """
    if not _NAME.fullmatch(name):
        raise SettingsError(f"--name={name!r}: give 1 to 60 letters, digits, - and _")
    match form:
        case TemplateForm.CLOUDFORMATION:
            return _cloudformation(name)
        case TemplateForm.TERRAFORM:
            return _terraform(name)
        case _ as never:
            assert_never(never)


def _rules() -> list[tuple[str, str, str]]:
    """Return a short name, the source and the detail type of each event."""
    return [(re.sub(r"[^A-Za-z]", "", detail), source, detail) for source, detail in EVENTS]


def _cloudformation(name: str) -> str:
    queue, dead = {"Fn::GetAtt": ["Queue", "Arn"]}, {"Fn::GetAtt": ["DeadLetters", "Arn"]}
    made: dict[str, object] = {
        **_queue("Queue", name, queue),
        **_queue("DeadLetters", f"{name}-dead", dead),
    }
    for short, source, detail in _rules():
        made[short] = {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "Name": f"{name}-{short}"[:64],
                "EventPattern": {"source": [source], "detail-type": [detail]},
                "Targets": [{"Id": "queue", "Arn": queue, "DeadLetterConfig": {"Arn": dead}}],
            },
        }
    document = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "A queue of interruption notices for SpotVortex.",
        "Resources": made,
        "Outputs": {"QueueUrl": {"Value": {"Ref": "Queue"}}, "QueueArn": {"Value": queue}},
    }
    return json.dumps(document, indent=2) + "\n"


def _queue(key: str, name: str, arn: object) -> dict[str, object]:
    """Return a queue, encrypted, and who may send to it."""
    queue: dict[str, object] = {
        "Type": "AWS::SQS::Queue",
        "Properties": {
            "QueueName": name,
            "MessageRetentionPeriod": KEPT_S,
            "SqsManagedSseEnabled": True,
        },
    }
    policy: dict[str, object] = {
        "Type": "AWS::SQS::QueuePolicy",
        "Properties": {"Queues": [{"Ref": key}], "PolicyDocument": _sending(arn)},
    }
    return {key: queue, f"{key}Policy": policy}


def _sending(queue: object) -> dict[str, object]:
    """Let EventBridge send, and nobody without TLS do anything (SQS Developer Guide)."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": queue,
                "Condition": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}},
            },
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "sqs:*",
                "Resource": queue,
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
        ],
    }


def _terraform(name: str) -> str:
    events = "\n".join(
        f"    {short} = {{ source = {json.dumps(source)}, detail = {json.dumps(detail)} }}"
        for short, source, detail in _rules()
    )
    filled = {"@EVENTS@": events, "@NAME@": name, "@KEPT_S@": str(KEPT_S)}
    text = _TERRAFORM
    for token, value in filled.items():
        text = text.replace(token, value)
    return text
