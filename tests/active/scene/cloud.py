"""A queue of notices for crashed readers: what nobody has settled comes again within seconds.

Comes in: events. Goes out: the settings with which a daemon reads them. A real queue would show a
message again only when its visibility time-out is over, as it would here, later.
"""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from tests.aws.memory_sqs import MemorySqs, Queue

SHOWN_AGAIN_S = 3
NAME = "notices"


class ImpatientSqs(MemorySqs):
    """The queue; it hides a message for a few seconds, however long it is asked to."""

    def _pick(self, one: Queue, n: int, visibility_s: int) -> list[dict[str, str]]:
        return super()._pick(one, n, min(visibility_s, SHOWN_AGAIN_S))

    def ask(self, operation: str, **asked: Any) -> dict[str, Any]:
        """Make one request of the test's own."""
        headers = {
            "X-Amz-Target": f"AmazonSQS.{operation}",
            "Content-Type": "application/x-amz-json-1.0",
        }
        body = json.dumps(asked).encode()
        request = urllib.request.Request(self.url, data=body, headers=headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            found: dict[str, Any] = json.loads(answer.read() or b"{}")
            return found

    def send(self, event: dict[str, Any]) -> None:
        """Put an event into the queue."""
        self.ask("SendMessage", QueueUrl=NAME, MessageBody=json.dumps(event))

    def n_left(self) -> int:
        """Count the messages that nobody has settled."""
        found = self.ask("GetQueueAttributes", QueueUrl=NAME, AttributeNames=["All"])
        return sum(map(int, found["Attributes"].values()))

    def variables(self) -> dict[str, str]:
        """Make the queue and return the settings for it."""
        self.ask("CreateQueue", QueueName=NAME)
        return {
            "AWS_ENDPOINT_URL_SQS": self.url,
            "AWS_REGION": "us-west-2",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
            "SPOTVORTEX_NOTICE_SOURCE": "queue",
            "SPOTVORTEX_INTERRUPTION_QUEUE": f"{self.url}/123456789012/{NAME}",
        }
