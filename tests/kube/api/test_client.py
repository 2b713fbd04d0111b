"""The client: what each status becomes, and what a person is told without a kubeconfig."""

import asyncio
import json
import logging

import pytest

from spotvortex.errors import (
    ApiError,
    ConflictError,
    ExpiredError,
    ForbiddenError,
    NotServedError,
    ServerError,
    SettingsError,
    ThrottledError,
    UnreachableError,
)
from spotvortex.kube.api import client as module
from spotvortex.kube.api import kubeconfig as places
from spotvortex.kube.api.client import MERGE_PATCH, SLOWED, KubeClient
from spotvortex.kube.api.errors import api_error
from tests.kube.fake_api import SILENCE, Answer, FakeApi, client_for, refused, serving, watched


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ApiError),
        (401, ForbiddenError),
        (403, ForbiddenError),
        (404, NotServedError),
        (409, ConflictError),
        (410, ExpiredError),
        (429, ThrottledError),
        (500, ServerError),
        (503, ServerError),
    ],
)
async def test_each_status_has_one_error(status, kind):
    api = FakeApi([refused(status, "told why", "Reason", {"Retry-After": "7"})])
    async with serving(api) as client:
        with pytest.raises(ApiError, match="told why") as caught:
            await client.get_bytes("/x", timeout=5.0)
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.reason, error.retry_after_s) == (status, "Reason", 7.0)


def test_the_servers_words_are_cut_and_anything_else_is_dropped():
    assert len(str(api_error(500, {}, b'{"kind":"Status","message":"%s"}' % (b"x" * 999)))) == 512
    told = api_error(502, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, b"<html>secret</html>")
    assert str(told) == "the API server answered 502"
    assert told.retry_after_s is None


async def test_an_answer_is_read_whole_and_counted():
    async with serving(FakeApi([Answer({"a": 1})])) as client:
        assert await client.get_bytes("/x", {"q": "a=b"}, timeout=5.0, verb="list") == b'{"a": 1}'
        await client.probe()
        assert client.n_requests == {"list": 1, "get": 1}


async def test_a_posted_object_arrives_as_json_and_is_counted():
    api = FakeApi([Answer({"status": {}}, status=201)])
    async with serving(api) as client:
        body = {"spec": {"a": 1}}
        assert await client.post_bytes("/x", body, timeout=5.0) == b'{"status": {}}'
        assert client.n_requests == {"create": 1}
    assert api.posted == [body]


@pytest.mark.parametrize(
    ("method", "query", "verb"),
    [
        ("POST", None, "create"),
        ("PUT", None, "update"),
        ("PATCH", None, "patch"),
        ("DELETE", None, "delete"),
        ("DELETE", {"labelSelector": "a=b"}, "deletecollection"),
    ],
)
async def test_what_is_sent_arrives_with_its_method_and_type_and_is_counted(method, query, verb):
    api = FakeApi([Answer({"a": 1})])
    async with serving(api) as client:
        sent = client.send(
            method, "/x", {"b": None}, query=query, content_type=MERGE_PATCH, timeout=5.0
        )
        assert await sent == b'{"a": 1}'
        assert client.n_requests == {verb: 1}
    assert (api.methods, api.posted) == ([method], [{"b": None}])
    assert api.headers[0]["Content-Type"] == MERGE_PATCH
    assert api.asked == [(query or {}) | {"timeout": "5.000s"}]


def test_the_causes_and_the_time_that_a_status_names_are_kept():
    body = (
        b'{"kind":"Status","details":{"retryAfterSeconds":3,"causes":[{"reason":"DisruptionBudget"'
        b',"message":"needs 2"},{"message":"no reason"}]}}'
    )
    error = api_error(429, {}, body)
    assert (error.causes, error.retry_after_s) == (("DisruptionBudget",), 3.0)
    assert api_error(429, {"Retry-After": "7"}, body).retry_after_s == 7.0


async def test_a_busy_server_slows_every_write_down_but_leases():
    busy = refused(429, "busy", headers={"Retry-After": "9"})
    api = FakeApi([busy, Answer({})])
    async with serving(api) as client:
        with pytest.raises(ThrottledError, match="busy"):
            await client.send("POST", "/x", {}, timeout=5.0)
        with pytest.raises(ThrottledError, match="not sent") as caught:
            await client.send("DELETE", "/y", timeout=5.0)
        assert caught.value.reason == SLOWED
        assert 5.0 < caught.value.retry_after_s <= 9.0
        assert len(api.asked) == 1
        await client.get_bytes("/x", timeout=5.0)
        await client.send("PUT", "/apis/coordination.k8s.io/v1/x", {}, timeout=5.0)
        assert api.methods == ["POST", "GET", "PUT"]
        assert client.n_requests == {"create": 1, "get": 1, "update": 1}


async def test_a_slowed_client_writes_again_after_a_second(monkeypatch):
    monkeypatch.setattr(module, "SLOW_DOWN_S", 0.1)
    async with serving(FakeApi([refused(429), Answer({})])) as client:
        with pytest.raises(ThrottledError):
            await client.send("POST", "/x", {}, timeout=5.0)
        await asyncio.sleep(0.11)
        assert await client.send("POST", "/x", {}, timeout=5.0) == b"{}"


async def test_no_server_can_stop_us_for_long():
    async with serving(FakeApi([refused(429, headers={"Retry-After": "99999"})])) as client:
        with pytest.raises(ThrottledError):
            await client.send("POST", "/x", {}, timeout=5.0)
        with pytest.raises(ThrottledError, match="not sent") as caught:
            await client.send("POST", "/x", {}, timeout=5.0)
        assert caught.value.retry_after_s <= module.LONGEST_SLOW_DOWN_S


async def test_a_budgets_429_slows_nothing_down():
    blocked = refused(429, "no disruption", causes=["DisruptionBudget"])
    async with serving(FakeApi([blocked, Answer({})])) as client:
        with pytest.raises(ThrottledError):
            await client.send("POST", "/x", {}, timeout=5.0)
        await client.send("POST", "/x", {}, timeout=5.0)


async def test_a_posted_object_may_be_refused():
    async with serving(FakeApi([refused(403, "not you")])) as client:
        with pytest.raises(ForbiddenError, match="not you"):
            await client.post_bytes("/x", {"a": 1}, timeout=5.0)


async def test_a_slow_answer_is_a_time_out():
    async with serving(FakeApi([watched(SILENCE)])) as client:
        with pytest.raises(UnreachableError, match="timed out"):
            await client.get_bytes("/x", timeout=0.1)


async def test_no_server_is_an_error_of_its_own():
    client = client_for("http://127.0.0.1:1")
    try:
        with pytest.raises(UnreachableError, match="/version"):
            await client.probe()
    finally:
        await client.close()


def test_the_library_never_logs_bodies():
    assert not logging.getLogger("kubernetes_asyncio.client.rest").isEnabledFor(logging.DEBUG)


KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: one
contexts:
- {name: one, context: {cluster: c, user: u}}
- {name: two, context: {cluster: c, user: plugin}}
- {name: three, context: {cluster: c, user: broken}}
clusters:
- {name: c, cluster: {server: "http://127.0.0.1:1/"}}
users:
- {name: u, user: {token: secret}}
- name: plugin
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: PLUGIN
      interactiveMode: Never
- name: broken
  user:
    exec: {apiVersion: client.authentication.k8s.io/v1, command: no-such-plugin}
"""

# Gives another token each time, and each has expired already.
PLUGIN = """#!/bin/sh
echo >> "$0.runs"
cat <<END
{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
 "status": {"token": "t$(wc -l < "$0.runs")", "expirationTimestamp": "2020-01-01T00:00:00Z"}}
END
"""


@pytest.fixture
def kubeconfig(tmp_path):
    plugin = tmp_path / "plugin"
    plugin.write_text(PLUGIN)
    plugin.chmod(0o755)
    path = tmp_path / "config"
    path.write_text(KUBECONFIG.replace("PLUGIN", str(plugin)))
    return str(path)


async def test_the_current_context_is_used(kubeconfig):
    client = await KubeClient.connect(kubeconfig=kubeconfig)
    assert (client.server, client.context_name) == ("http://127.0.0.1:1", "one")
    await client.close()


async def test_an_unknown_context_says_where_to_look(kubeconfig):
    with pytest.raises(SettingsError, match=r"context 'nine' .* get-contexts"):
        await KubeClient.connect(kubeconfig=kubeconfig, context="nine")


@pytest.mark.parametrize("text", ["hello", "7", "contexts: 7"])
async def test_a_file_that_is_no_kubeconfig_is_called_so(tmp_path, text):
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(SettingsError) as told:
        await KubeClient.connect(kubeconfig=str(path))
    assert "object" not in str(told.value)


@pytest.mark.parametrize("text", ["{", "[]", "", "a: b"])
async def test_a_broken_kubeconfig_is_named(tmp_path, text):
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(SettingsError, match=str(path)):
        await KubeClient.connect(kubeconfig=str(path))


async def test_a_broken_certificate_is_told(tmp_path):
    path = tmp_path / "config"
    (tmp_path / "ca").write_text("no certificate")
    cluster = f'cluster: {{server: "https://127.0.0.1:1/", certificate-authority: {tmp_path}/ca}}'
    path.write_text(KUBECONFIG.replace('cluster: {server: "http://127.0.0.1:1/"}', cluster))
    with pytest.raises(SettingsError, match="a certificate of context 'one'"):
        await KubeClient.connect(kubeconfig=str(path))


async def test_no_kubeconfig_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "DEFAULT_KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(SettingsError, match="name one with KUBECONFIG"):
        await KubeClient.connect()


@pytest.mark.program
async def test_a_plugins_token_is_renewed_when_it_expires(kubeconfig):
    client = await KubeClient.connect(kubeconfig=kubeconfig, context="two")
    api = FakeApi([Answer({})])
    async with serving(api) as served:
        client._api.configuration.host = served.server
        await client.probe()
        await client.probe()
    await client.close()
    tokens = [h["Authorization"] for h in api.headers]
    assert len(set(tokens)) == 2


@pytest.mark.program
async def test_a_missing_plugin_is_told(kubeconfig):
    with pytest.raises(SettingsError, match="no-such-plugin"):
        await KubeClient.connect(kubeconfig=kubeconfig, context="three")


@pytest.mark.parametrize(
    ("method", "query", "verb"),
    [
        ("POST", None, "create"),
        ("PATCH", None, "patch"),
        ("PUT", None, "update"),
        ("DELETE", {"propagationPolicy": "Background"}, "delete"),
        ("DELETE", {"labelSelector": "a=b"}, "deletecollection"),
    ],
)
async def test_a_change_is_sent_once_as_it_is_and_counted_by_its_verb(method, query, verb):
    api = FakeApi([Answer({"done": True})])
    async with serving(api) as client:
        body = {"metadata": {"labels": {"gone": None}}}
        answer = await client.send(
            method, "/thing", body, query=query, content_type=MERGE_PATCH, timeout=5.0
        )
        assert json.loads(answer) == {"done": True}
        assert client.n_requests == {verb: 1}
    assert (api.asked, api.posted) == ([(query or {}) | {"timeout": "5.000s"}], [body])
    assert api.headers[0]["Content-Type"] == MERGE_PATCH


async def test_a_change_that_is_refused_is_not_sent_again():
    api = FakeApi([refused(409, "changed since", reason="Conflict")])
    async with serving(api) as client:
        with pytest.raises(ApiError, match="changed since") as caught:
            await client.send("DELETE", "/thing", timeout=5.0)
    assert (caught.value.status, caught.value.reason, len(api.asked)) == (409, "Conflict", 1)
