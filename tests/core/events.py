"""EventBridge events as AWS documents them."""

import json
from datetime import UTC, datetime
from email.utils import format_datetime

T0 = 1_790_000_000.0
INTERRUPTION = "EC2 Spot Instance Interruption Warning"
REBALANCE = "EC2 Instance Rebalance Recommendation"
STATE_CHANGE = "EC2 Instance State-change Notification"
HEALTH = "AWS Health Event"


def instant(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def event(detail_type: str, detail: dict, *, event_id: str, at: float = T0, **more) -> dict:
    """One event; a value of None in `more` leaves its field out."""
    whole = {
        "version": "0",
        "id": event_id,
        "detail-type": detail_type,
        "source": "aws.ec2",
        "account": "123456789012",
        "time": instant(at),
        "region": "us-east-1",
        "resources": ["arn:aws:ec2:us-east-1:123456789012:instance/i-1"],
        "detail": detail,
    }
    return {name: value for name, value in (whole | more).items() if value is not None}


def interruption(instance: str = "i-0abc", event_id: str = "e1", **more) -> dict:
    detail = {"instance-id": instance, "instance-action": "terminate"}
    return event(INTERRUPTION, detail, event_id=event_id, **more)


def rebalance(instance: str = "i-0abc", event_id: str = "e2", **more) -> dict:
    return event(REBALANCE, {"instance-id": instance}, event_id=event_id, **more)


def state_change(
    state: str = "shutting-down", instance: str = "i-0abc", event_id: str = "e3", **more
) -> dict:
    detail = {"instance-id": instance, "state": state}
    return event(STATE_CHANGE, detail, event_id=event_id, **more)


def scheduled_change(
    *instances: str, start: float | None = T0 + 86_400.0, event_id: str = "e4", **detail
) -> dict:
    told = {
        "eventArn": "arn:aws:health:us-east-1::event/EC2/x",
        "service": "EC2",
        "eventTypeCode": "AWS_EC2_PERSISTENT_INSTANCE_RETIREMENT_SCHEDULED",
        "eventTypeCategory": "scheduledChange",
        "statusCode": "upcoming",
        "affectedEntities": [{"entityValue": i} for i in instances],
    }
    if start is not None:
        told["startTime"] = format_datetime(datetime.fromtimestamp(start, UTC), usegmt=True)
    return event(HEALTH, told | detail, event_id=event_id, source="aws.health")


def packed(message: object) -> bytes:
    return json.dumps(message).encode()
