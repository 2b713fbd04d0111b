"""Free loopback ports that nobody takes between the look and the use."""

import os
import random
import socket

# Below the range from which systems take the ports of outgoing connections (32768 and above on
# Linux): a port from there may be gone again before the server binds it.
_FIRST, _LAST = 15000, 32000
_given: set[int] = set()


def _range() -> tuple[int, int]:
    """Return the ports of this process: test processes that run beside each other share none."""
    n = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    width = (_LAST - _FIRST) // n
    return _FIRST + worker * width, _FIRST + (worker + 1) * width - 1


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free and was not given before."""
    choose, (first, last) = random.Random(), _range()
    for _ in range(1000):
        port = choose.randint(first, last)
        if port not in _given and _is_free(port):
            _given.add(port)
            return port
    raise OSError("no free loopback port")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
