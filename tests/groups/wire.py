"""How requests to AWS are read and answered over HTTP, for the proxy before moto.

Comes in: bytes of the query protocol (Auto Scaling, EC2), of JSON with a target (Service Quotas,
CloudWatch) and of REST (EKS). Goes out: the operation with its parameters, and errors as each
protocol has them.
May not know what the cloud is like.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs

NAMESPACE = "http://autoscaling.amazonaws.com/doc/2011-01-01/"
EC2_VERSION = "2016-11-15"
"""The version of the API that tells a request to EC2 from one to Auto Scaling."""

OF_EKS = ("UpdateNodegroupConfig", "DescribeNodegroup")

Serve = Callable[[str, str, dict[str, str], bytes], "Answer"]
"""Answers a request by its method, path, headers and body."""


@dataclass(slots=True, kw_only=True)
class Answer:
    """An answer; of status 0 none is sent."""

    status: int
    body: bytes = b""
    kind: str = "text/xml"


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


def handler(serve: Serve) -> type[BaseHTTPRequestHandler]:
    """Return what serves requests."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = serve(self.command, self.path, dict(self.headers), body)
            if answer.status == 0:
                self.close_connection = True
                return
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
