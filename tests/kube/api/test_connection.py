"""The connection of a change that is given up: reset at once, never used again."""

import asyncio
import errno
import math
import time
from contextlib import asynccontextmanager

import pytest

from spotvortex.errors import UnreachableError
from tests.kube.fake_api import Answer, FakeApi, client_for, serving, until


async def test_a_connection_that_is_refused_is_told_in_the_systems_own_words():
    listening = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    listening.close()
    client = client_for(f"http://127.0.0.1:{port}")
    try:
        with pytest.raises(UnreachableError) as told:
            await client.probe(1.0)
    finally:
        await client.close()
    assert str(told.value) == f"/version: cannot connect to 127.0.0.1:{port}: Connection refused"


def now():
    return asyncio.get_running_loop().time()


class Ear:
    """A server that answers nothing, and hears how each connection ends."""

    def __init__(self):
        self.ends, self.heard = [], b""

    async def hear(self, reader, writer):
        try:
            while data := await reader.read(65536):
                self.heard += data
            self.ends.append("closed")
        except ConnectionResetError as error:
            self.ends.append(errno.errorcode[error.errno])
        finally:
            writer.transport.abort()


@asynccontextmanager
async def silent():
    ear = Ear()
    server = await asyncio.start_server(ear.hear, "127.0.0.1", 0)
    client = client_for(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        yield ear, client
    finally:
        await client.close()
        server.close()


async def ended(ear):
    await until(lambda: ear.ends, 5.0)
    return ear.ends


async def test_a_change_that_is_given_up_resets_its_connection_at_once():
    async with silent() as (ear, client):
        with pytest.raises(UnreachableError):
            await client.send("POST", "/x", {"a": 1}, timeout=0.2)
        given_up_at = now()
        assert given_up_at - 0.1 < client.given_up_at <= given_up_at
        assert await ended(ear) == ["ECONNRESET"]
        assert now() - given_up_at < 0.5
        assert b"POST /x?timeout=0.200s" in ear.heard


async def test_a_change_that_is_cancelled_resets_its_connection_too():
    async with silent() as (ear, client):
        sent = asyncio.ensure_future(client.send("POST", "/x", {}, timeout=60.0))
        await until(lambda: ear.heard)
        sent.cancel()
        await asyncio.wait([sent])
        assert client.given_up_at > 0.0
        assert await ended(ear) == ["ECONNRESET"]


async def test_a_read_that_is_given_up_is_closed_in_order():
    async with silent() as (ear, client):
        with pytest.raises(UnreachableError):
            await client.get_bytes("/x", timeout=0.2)
        assert await ended(ear) == ["closed"]


async def test_a_change_that_was_answered_leaves_its_connection_to_the_next():
    async with serving(FakeApi([Answer({})])) as client:
        for _ in range(3):
            await client.send("POST", "/x", {}, timeout=5.0)
        assert client.given_up_at == -math.inf
        connector = client._api.rest_client.pool_manager.connector
        assert sum(map(len, connector._conns.values())) == 1


async def test_a_loop_that_stood_still_sends_no_change_after_its_time():
    """The time-out and the connection are then found in one turn, in any order."""
    api = FakeApi([Answer({})])
    async with serving(api) as client:
        sent = asyncio.ensure_future(client.send("POST", "/x", {}, timeout=1.0))
        # A machine that is busier than a second connects in no time that is left: that ends, too.
        while not (client._api.rest_client.pool_manager.connector._acquired or sent.done()):
            await asyncio.sleep(0)
        time.sleep(1.2)
        with pytest.raises(UnreachableError):
            await sent
        await asyncio.sleep(0.1)
    assert "POST" not in api.methods
