"""Auto Scaling and EKS on loopback: moto behind a proxy that keeps what moto ignores.

Comes in: requests of the daemon and of the scene. Goes out: moto's answers, as far as they are like
AWS's. What the proxy adds, with where it is documented (all in the API References):

- a size beyond the largest or the smallest is a ValidationError (SetDesiredCapacity, "New
  SetDesiredCapacity value is above max value for the AutoScalingGroup"); so is an end with
  decrement below the smallest (TerminateInstanceInAutoScalingGroup);
- a group may get fewer instances than it is to have, and keeps asking (its size and its instances
  then differ, as where an activity fails for InsufficientInstanceCapacity);
- UpdateNodegroupConfig sets the size of the Auto Scaling group that EKS has made (EKS User Guide,
  "Managed node groups");
- errors, slow and cut answers of one's choice, before or after a request is carried out.
"""

from __future__ import annotations

import http.client
import json
import logging
import threading
import urllib.request
import xml.etree.ElementTree as Xml
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

REGION, ZONE = "us-east-1", "us-east-1a"
NAMESPACE = "http://autoscaling.amazonaws.com/doc/2011-01-01/"
WRITES = ("SetDesiredCapacity", "TerminateInstanceInAutoScalingGroup", "UpdateNodegroupConfig")
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}

Before = Callable[[str, dict[str, str]], "tuple[int, str] | None"]
"""Is asked before a request is carried out; an error takes the answer's place."""


@dataclass(slots=True)
class Cloud:
    """moto with the proxy before it.

    Attributes:
        withheld: by group, instances that it is to have and does not get.
        shortage: by group, how many of the next instances are not to be had.
        before: asked before each write is carried out.
        after: told of each write that was carried out, before it is answered.
        cut: operations whose answer is cut off, once each.
        denied: operations for which the right is missing.
        asked: every operation with its parameters, in order.
    """

    withheld: dict[str, int] = field(default_factory=dict)
    shortage: dict[str, int] = field(default_factory=dict)
    before: Before | None = None
    after: Callable[[str, dict[str, str]], None] | None = None
    cut: list[str] = field(default_factory=list)
    denied: set[str] = field(default_factory=set)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    _turn: threading.RLock = field(default_factory=threading.RLock)
    _stack: ExitStack = field(default_factory=ExitStack)
    _moto: str = ""
    url: str = ""

    def __enter__(self) -> Self:
        from moto.server import ThreadedMotoServer  # noqa: PLC0415 - half a second of imports

        logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
        moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        moto.start()
        self._stack.callback(moto.stop)
        host, port = moto.get_host_and_port()
        self._moto = f"http://{host}:{port}"
        self._post("/moto-api/reset", b"")
        proxy = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        thread = threading.Thread(target=proxy.serve_forever, name="cloud")
        thread.start()
        self._stack.callback(thread.join, 10)
        self._stack.callback(proxy.server_close)
        self._stack.callback(proxy.shutdown)
        self.url = f"http://127.0.0.1:{proxy.server_address[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def client(self, service: str) -> Any:
        """Return a client of the scene's own, which the proxy does not see."""
        import boto3  # noqa: PLC0415 - as above

        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self._moto,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def variables(self) -> dict[str, str]:
        """Return what the daemon needs to ask this cloud and no other."""
        return CREDENTIALS | {"AWS_ENDPOINT_URL": self.url}

    # -- groups ----------------------------------------------------------------

    def make_group(
        self, name: str, tags: dict[str, str], size: int, largest: int = 10, **more: Any
    ) -> None:
        """Make a group with so many instances."""
        ec2, autoscaling = self.client("ec2"), self.client("autoscaling")
        template = f"of-{name}"
        data = {"ImageId": "ami-12345678", "InstanceType": "c5.xlarge"}
        ec2.create_launch_template(LaunchTemplateName=template, LaunchTemplateData=data)
        in_zone = [{"Name": "availability-zone", "Values": [ZONE]}]
        (subnet,) = ec2.describe_subnets(Filters=in_zone)["Subnets"]
        autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=name,
            LaunchTemplate={"LaunchTemplateName": template, "Version": "$Latest"},
            MinSize=0,
            MaxSize=largest,
            DesiredCapacity=size,
            VPCZoneIdentifier=subnet["SubnetId"],
            Tags=[
                {
                    "ResourceId": name,
                    "ResourceType": "auto-scaling-group",
                    "Key": key,
                    "Value": value,
                    "PropagateAtLaunch": True,
                }
                for key, value in tags.items()
            ],
            **more,
        )

    def make_nodegroup(self, cluster: str, name: str, word: str, size: int) -> None:
        """Make a managed node group, and the Auto Scaling group that EKS makes of it."""
        eks = self.client("eks")
        role = "arn:aws:iam::123456789012:role/node"
        if cluster not in eks.list_clusters()["clusters"]:
            eks.create_cluster(
                name=cluster, roleArn=role, resourcesVpcConfig={"subnetIds": ["subnet-1"]}
            )
        scaling = {"minSize": 0, "maxSize": 10, "desiredSize": size}
        eks.create_nodegroup(
            clusterName=cluster,
            nodegroupName=name,
            scalingConfig=scaling,
            subnets=["subnet-1"],
            nodeRole=role,
            capacityType=word,
        )
        tags = {"eks:nodegroup-name": name, "eks:cluster-name": cluster}
        self.make_group(made_of(name), tags, size)

    def described(self, name: str) -> dict[str, Any]:
        """Return a group as the daemon would see it."""
        asked = {"AutoScalingGroupNames": [name]}
        (found,) = self.client("autoscaling").describe_auto_scaling_groups(**asked)[
            "AutoScalingGroups"
        ]
        with self._turn:
            found["DesiredCapacity"] += self.withheld.get(name, 0)
        return dict(found)

    def desired(self, name: str) -> int:
        """Return the size that a group is to have."""
        return int(self.described(name)["DesiredCapacity"])

    def instances(self, name: str) -> list[str]:
        """Return the ids of a group's instances."""
        return sorted(i["InstanceId"] for i in self.described(name)["Instances"])

    def resize(self, name: str, desired: int) -> None:
        """Set a size by another hand than the daemon's."""
        with self._turn:
            self._resize(name, desired)

    def writes(self) -> list[tuple[str, dict[str, str]]]:
        """Return the writes that came, refused ones among them."""
        return [(operation, asked) for operation, asked in self.asked if operation in WRITES]

    # -- the proxy -----------------------------------------------------------------

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> _Answer:
        """Answer a request as AWS would."""
        operation, asked = _read(method, path, headers, body)
        with self._turn:
            self.asked.append((operation, asked))
            refusal = self._refusal(operation, asked)
            if refusal is not None:
                return _refused(operation, *refusal)
            answer = self._carried_out(operation, asked, method, path, headers, body)
            if operation in WRITES and self.after is not None:
                self.after(operation, asked)
            if operation in self.cut:
                self.cut.remove(operation)
                return _Answer(status=0)
        return answer

    def _refusal(self, operation: str, asked: dict[str, str]) -> tuple[int, str] | None:
        if operation in self.denied:
            return 403, "UnauthorizedOperation"
        if operation not in WRITES:
            return None
        told = self.before(operation, asked) if self.before is not None else None
        if told is not None:
            return told
        if operation == "SetDesiredCapacity":
            group = self.described(asked["AutoScalingGroupName"])
            within = group["MinSize"] <= int(asked["DesiredCapacity"]) <= group["MaxSize"]
            return None if within else (400, "ValidationError")
        if operation == "TerminateInstanceInAutoScalingGroup":
            group = self._home(asked["InstanceId"])
            least = group is not None and group["DesiredCapacity"] > group["MinSize"]
            return None if least else (400, "ValidationError")
        return None

    def _carried_out(
        self,
        operation: str,
        asked: dict[str, str],
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
    ) -> _Answer:
        if operation == "SetDesiredCapacity":
            self._resize(asked["AutoScalingGroupName"], int(asked["DesiredCapacity"]))
            return _done(operation)
        answer = self._forward(method, path, headers, body)
        if operation == "UpdateNodegroupConfig" and answer.status == 200:
            size = json.loads(body)["scalingConfig"].get("desiredSize")
            if size is not None:
                self._resize(self._made_for(path.split("/")[4]), int(size))
        if operation == "DescribeAutoScalingGroups" and self.withheld:
            answer.body = self._with_sizes(answer.body)
        return answer

    def _resize(self, name: str, desired: int) -> None:
        """Have moto launch what is to be had; a smaller size takes off what is withheld first."""
        there = len(self.instances(name))
        before = self.desired(name)
        held = self.withheld.get(name, 0)
        if desired > before:
            held += min(self.shortage.get(name, 0), desired - before)
        else:
            held = max(0, min(held, desired - there))
        self.withheld[name] = held
        self.client("autoscaling").set_desired_capacity(
            AutoScalingGroupName=name, DesiredCapacity=desired - held
        )

    def _home(self, instance: str) -> dict[str, Any] | None:
        asked = {"InstanceIds": [instance]}
        found = self.client("autoscaling").describe_auto_scaling_instances(**asked)
        names = [i["AutoScalingGroupName"] for i in found["AutoScalingInstances"]]
        return self.described(names[0]) if names else None

    def _made_for(self, nodegroup: str) -> str:
        groups = self.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        return next(
            g["AutoScalingGroupName"]
            for g in groups
            if any(t["Key"] == "eks:nodegroup-name" and t["Value"] == nodegroup for t in g["Tags"])
        )

    def _with_sizes(self, body: bytes) -> bytes:
        root, names = Xml.fromstring(body), {"": NAMESPACE}
        for group in root.iterfind(".//AutoScalingGroups/member", names):
            name = group.findtext("AutoScalingGroupName", "", names)
            size = group.find("DesiredCapacity", names)
            if size is not None and size.text:
                size.text = str(int(size.text) + self.withheld.get(name, 0))
        return Xml.tostring(root, default_namespace=NAMESPACE)

    def _forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> _Answer:
        at = urlsplit(self._moto)
        connection = http.client.HTTPConnection(str(at.hostname), at.port, timeout=30)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            kind = answer.getheader("Content-Type", "text/xml")
            return _Answer(status=answer.status, body=answer.read(), kind=kind)
        finally:
            connection.close()

    def _post(self, path: str, body: bytes) -> None:
        urllib.request.urlopen(f"{self._moto}{path}", data=body, timeout=10).close()


def made_of(nodegroup: str) -> str:
    """Return the name of the Auto Scaling group of a managed node group."""
    return f"eks-{nodegroup}-0a1b2c3d-1111-2222-3333-444455556666"


@dataclass(slots=True, kw_only=True)
class _Answer:
    """An answer; of status 0 none is sent."""

    status: int
    body: bytes = b""
    kind: str = "text/xml"


def _read(
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


def _refused(operation: str, status: int, code: str) -> _Answer:
    if operation == "UpdateNodegroupConfig":
        text = json.dumps({"message": "told so", "__type": code})
        return _Answer(status=status, body=text.encode(), kind="application/json")
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>told so</Message></Error>"
    body = f'<ErrorResponse xmlns="{NAMESPACE}">{error}<RequestId>r</RequestId></ErrorResponse>'
    return _Answer(status=status, body=body.encode())


def _done(operation: str) -> _Answer:
    told = "<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>"
    body = f'<{operation}Response xmlns="{NAMESPACE}">{told}</{operation}Response>'
    return _Answer(status=200, body=body.encode())


def _handler(cloud: Cloud) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = cloud.answer(self.command, self.path, dict(self.headers), body)
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
