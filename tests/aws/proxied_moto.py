"""moto on loopback behind a proxy: with what each emulated cloud of the tests begins.

Comes in: requests over HTTP, and who answers them. Goes out: the proxy's address, moto's own
answers to what is passed on, and clients of the scene's own, which the proxy does not see. May not
know what a cloud adds to moto.
"""

from __future__ import annotations

import http.client
import logging
import threading
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

NO_OTHER_CLOUD = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}
"""Variables by which a program asks nobody but whom it is told to ask."""

_OF_THE_CONNECTION = (
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "transfer-encoding",
)


@dataclass(slots=True, kw_only=True)
class Answer:
    """An answer; of status 0 none is sent."""

    status: int = 200
    body: bytes = b""
    kind: str = "text/xml"


Serve = Callable[[str, str, dict[str, str], bytes], Answer]
"""Answers a request by its method, path, headers and body."""


class ProxiedMoto:
    """moto and the proxy before it, for as long as the block lasts.

    Args:
        serve: answers what comes to the proxy; it may pass a request on with `forward`.

    Attributes:
        url: of the proxy.
    """

    def __init__(self, serve: Serve) -> None:
        self.url = self._moto = ""
        self._serve = serve
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        from moto.server import ThreadedMotoServer  # noqa: PLC0415 - half a second of imports

        logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
        moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        moto.start()
        self._stack.callback(moto.stop)
        host, port = moto.get_host_and_port()
        self._moto = f"http://{host}:{port}"
        urllib.request.urlopen(f"{self._moto}/moto-api/reset", data=b"", timeout=60).close()
        proxy = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._serve))
        proxy.daemon_threads = True
        thread = threading.Thread(target=proxy.serve_forever, name="cloud")
        thread.start()
        self._stack.callback(thread.join, 10)
        self._stack.callback(proxy.server_close)
        self._stack.callback(proxy.shutdown)
        self.url = f"http://127.0.0.1:{proxy.server_address[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def client(self, service: str, region: str) -> Any:
        """Return a client of the scene's own, which the proxy does not see."""
        import boto3  # noqa: PLC0415 - as above

        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self._moto,
            aws_access_key_id="scene",
            aws_secret_access_key="scene",
        )

    def forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Return what moto answers."""
        at = urlsplit(self._moto)
        connection = http.client.HTTPConnection(str(at.hostname), at.port, timeout=60)
        kept = {k: v for k, v in headers.items() if k.lower() not in _OF_THE_CONNECTION}
        try:
            connection.request(method, path, body, kept)
            found = connection.getresponse()
            kind = found.getheader("Content-Type", "text/xml")
            return Answer(status=found.status, body=found.read(), kind=kind)
        finally:
            connection.close()


def _handler(serve: Serve) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = serve(self.command, self.path, dict(self.headers), body)
            if answer.status == 0:
                self.close_connection = True
                return
            # Who asks may have ended while it waited for messages.
            with suppress(ConnectionError):
                self._send(answer)

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def do_DELETE(self) -> None:
            self._serve()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
