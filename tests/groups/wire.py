"""How requests to AWS are read and answered over HTTP, for the proxy before moto.

Comes in: bytes of the query protocol (Auto Scaling, EC2), of JSON with a target (Service Quotas,
CloudWatch) and of REST (EKS). Goes out: the operation with its parameters, and errors as each
protocol has them.
May not know what the cloud is like.
"""

from __future__ import annotations

import json
from urllib.parse import parse_qs

from tests.aws.proxied_moto import Answer

NAMESPACE = "http://autoscaling.amazonaws.com/doc/2011-01-01/"
EC2_VERSION = "2016-11-15"
"""The version of the API that tells a request to EC2 from one to Auto Scaling."""

OF_EKS = ("UpdateNodegroupConfig", "DescribeNodegroup")


def read(
    method: str, path: str, headers: dict[str, str], body: bytes
) -> tuple[str, dict[str, str]]:
    """Return the operation of a request and its parameters: query protocol, or REST of EKS."""
    if "/node-groups/" in path:
        names = path.split("?", maxsplit=1)[0].split("/")
        asked = {"clusterName": names[2], "nodegroupName": names[4]}
        if method == "POST" and names[-1] == "update-config":
            return "UpdateNodegroupConfig", asked | {"body": body.decode()}
        return "DescribeNodegroup", asked
    if "X-Amz-Target" in headers:
        return headers["X-Amz-Target"].rpartition(".")[2], {"body": body.decode()}
    form = {key: values[0] for key, values in parse_qs(body.decode()).items()}
    return form.get("Action", path), form


def refused(operation: str, asked: dict[str, str], status: int, code: str) -> Answer:
    """Answer with an error of AWS's."""
    if operation in OF_EKS or "Action" not in asked:
        text = json.dumps({"message": "told so", "__type": code})
        return Answer(status=status, body=text.encode(), kind="application/json")
    if asked.get("Version") == EC2_VERSION:
        error = f"<Errors><Error><Code>{code}</Code><Message>told so</Message></Error></Errors>"
        body = f"<Response>{error}<RequestID>r</RequestID></Response>"
        return Answer(status=status, body=body.encode())
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>told so</Message></Error>"
    body = f'<ErrorResponse xmlns="{NAMESPACE}">{error}<RequestId>r</RequestId></ErrorResponse>'
    return Answer(status=status, body=body.encode())


def done(operation: str) -> Answer:
    """Answer that an operation of Auto Scaling was carried out."""
    told = "<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>"
    body = f'<{operation}Response xmlns="{NAMESPACE}">{told}</{operation}Response>'
    return Answer(status=200, body=body.encode())


def told(body: object) -> Answer:
    """Answer with JSON, as services with a target do."""
    return Answer(status=200, body=json.dumps(body).encode(), kind="application/x-amz-json-1.1")
