"""Every variable is checked, every refusal names the fix, and nothing else ever comes out."""

import os
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts import configuration
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.types import Mode
from spotvortex.core.pool.owner_rules import PoolRules
from spotvortex.errors import SettingsError
from spotvortex.settings.describe import unit_of
from spotvortex.settings.load import (
    aws_region,
    ignored_variables,
    load,
    tracing_is_on,
    tracing_protocol,
)
from spotvortex.settings.model import PREFIX, Settings

NUMBERS = {
    name: field for name, field in Settings.model_fields.items() if field.annotation in (int, float)
}


@contextmanager
def environment(**variables):
    """The environment of the process, as it would be with these names of ours alone."""
    rest = {k: v for k, v in os.environ.items() if not k.upper().startswith(PREFIX)}
    with patch.dict(os.environ, rest | variables, clear=True):
        yield


def loaded(**variables):
    with environment(**variables):
        return load()


def refused(**variables):
    with environment(**variables), pytest.raises(SettingsError) as caught:
        load()
    return str(caught.value)


def bounds(field):
    low = next(r.ge for r in field.metadata if hasattr(r, "ge"))
    return low, next(r.le for r in field.metadata if hasattr(r, "le"))


def test_without_variables_the_limits_are_the_cores_own():
    assert loaded().limits() == Limits()


def test_an_empty_variable_counts_as_unset():
    assert loaded(SPOTVORTEX_PRICE_FILE="", SPOTVORTEX_TICK_S="") == loaded()


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_has_a_unit_and_refuses_what_is_out_of_its_bounds(name):
    field, variable = NUMBERS[name], PREFIX + name.upper()
    low, high = bounds(field)
    assert unit_of(field)
    assert low <= field.default <= high
    for value in (str(low - 1), str(high + 1), "nan", "inf", "many"):
        said = refused(**{variable: value})
        assert f"{variable}='{value}'" in said
        assert f"from {low:.10g} to {high:.10g} ({unit_of(field)})" in said
        assert f"unset it for {field.default}" in said


def test_both_bounds_of_a_number_are_taken():
    assert loaded(SPOTVORTEX_TICK_S="0.5").tick_s == 0.5
    assert loaded(SPOTVORTEX_TICK_S="3600").tick_s == 3600.0


@pytest.mark.parametrize("name", ["MODE", "POLICY_MODE", "CLOUD", "LOG_LEVEL", "DECISION_FORMAT"])
def test_a_choice_that_does_not_exist_is_refused_with_those_that_do(name):
    said = refused(**{PREFIX + name: "never"})
    assert f"{PREFIX}{name}='never'" in said
    assert f"give {configuration.values_of(Settings.model_fields[name.lower()])}" in said


@pytest.mark.parametrize("name", ["Spotvortex", "-a", "a-", "a.b", "a/b", "x" * 64])
def test_a_namespace_that_cannot_be_is_refused(name):
    assert "SPOTVORTEX_NAMESPACE=" in refused(SPOTVORTEX_NAMESPACE=name)
    assert loaded(SPOTVORTEX_NAMESPACE="x" * 63).namespace == "x" * 63


@pytest.mark.parametrize("name", ["KARPENTER_METRICS_URL", "PROMETHEUS_URL"])
@pytest.mark.parametrize("url", ["karpenter:8080", "ftp://x/metrics", "http://a b/c"])
def test_what_is_no_address_is_refused_without_showing_it(name, url):
    said = refused(**{PREFIX + name: url})
    assert f"{PREFIX}{name} is no address" in said
    assert url not in said


def test_addresses_are_taken_as_they_are_and_scripted_prices_stand_alone():
    url = "https://me:secret@prometheus.monitoring.svc:9090/prefix"
    assert loaded(SPOTVORTEX_PROMETHEUS_URL=url).prometheus_url == url
    script = {"SPOTVORTEX_TEST_PRICE_PROVIDER_JSON": "{}", "SPOTVORTEX_E2E_SUITE": "x"}
    assert "stand alone" in refused(SPOTVORTEX_PROMETHEUS_URL=url, **script)


def test_all_problems_are_told_at_once_and_a_long_value_is_cut():
    said = refused(SPOTVORTEX_TICK_S="x" * 999, SPOTVORTEX_HTTP_PORT="-1", SPOTVORTEX_TIK="1")
    assert len(said.split("; ")) >= 3
    assert len(said) < 700


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("SPOTVORTEX_TICKS", "did you mean SPOTVORTEX_TICK_S?"),
        ("SPOTVORTEX_MAX_SPOT_RATO", "did you mean SPOTVORTEX_MAX_SPOT_RATIO?"),
        ("spotvortex_tick_s", "did you mean SPOTVORTEX_TICK_S?"),
        ("SPOTVORTEX_XYZZY_QQQQQQQQQQQQQQQQQQQQQQ", "unset it"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name, hint):
    said = refused(**{name: "1"})
    assert f"unknown variable {name}: {hint}" in said


def test_a_name_that_only_looks_like_a_port_is_unknown():
    assert "did you mean SPOTVORTEX_HTTP_PORT?" in refused(SPOTVORTEX_HTTPS_PORT="8443")


INJECTED = {
    "SPOTVORTEX_SERVICE_HOST": "10.0.0.1",
    "SPOTVORTEX_SERVICE_PORT": "8080",
    "SPOTVORTEX_SERVICE_PORT_HTTP": "8080",
    "SPOTVORTEX_PORT": "tcp://10.0.0.1:8080",
    "SPOTVORTEX_PORT_8080_TCP": "tcp://10.0.0.1:8080",
    "SPOTVORTEX_PORT_8080_TCP_PROTO": "tcp",
    "SPOTVORTEX_PORT_8080_TCP_PORT": "8080",
    "SPOTVORTEX_PORT_8080_TCP_ADDR": "10.0.0.1",
    "SPOTVORTEX_DNS_PORT": "udp://10.0.0.1:53",
    "SPOTVORTEX_HTTP_PORT": "tcp://10.0.0.1:8080",
}


def test_what_kubernetes_injects_is_ignored_also_under_the_name_of_a_setting():
    assert loaded(**INJECTED) == loaded()
    with environment(**INJECTED, SPOTVORTEX_TICK_S="5"):
        assert ignored_variables() == sorted(INJECTED)


@pytest.mark.parametrize("name", ["TEST_PRICE_PROVIDER_FILE", "TEST_PRICE_PROVIDER_JSON"])
def test_scripted_prices_need_a_test_suite(name):
    variable = PREFIX + name
    assert f"{variable} is set outside a test suite" in refused(**{variable: "{}"})
    assert loaded(**{variable: "{}", "SPOTVORTEX_E2E_SUITE": "eksa-ca"}).e2e_suite == "eksa-ca"


@pytest.mark.parametrize("other", ["TEST_PRICE_PROVIDER_JSON", "PRICE_FILE"])
def test_prices_come_from_one_source(other):
    both = {"SPOTVORTEX_TEST_PRICE_PROVIDER_FILE": "x.json", PREFIX + other: "y"}
    said = refused(**both, SPOTVORTEX_E2E_SUITE="eksa-ca")
    assert all(name in said for name in both)
    assert "unset the others" in said


QUEUE = "SPOTVORTEX_INTERRUPTION_QUEUE"
SOURCE = "SPOTVORTEX_NOTICE_SOURCE"


def test_a_queue_is_read_only_where_karpenter_is_told_to_leave_it():
    assert loaded().notice_source == "karpenter"
    said = refused(**{QUEUE: "notices"})
    assert f"{QUEUE}='notices' is set while Karpenter handles interruptions: unset it" in said
    assert f"{SOURCE}=queue" in said
    assert f"set {QUEUE}" in refused(**{SOURCE: "queue"})
    assert f"{SOURCE}=evidence, but no queue is named" in refused(**{SOURCE: "evidence"})
    assert loaded(**{SOURCE: "evidence", QUEUE: "notices"}).notice_source == "evidence"


def test_prices_of_aws_need_a_region(monkeypatch):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    source = "SPOTVORTEX_PRICE_SOURCE"
    assert loaded().price_source == "auto"
    assert "set AWS_REGION" in refused(**{source: "aws"})
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    assert loaded(**{source: "aws"}).price_source == "aws"


@pytest.mark.parametrize(
    "queue",
    ["notices", "notices.fifo", "https://sqs.us-east-1.amazonaws.com/1/x", "http://127.0.0.1:1/x"],
)
def test_a_queue_is_given_by_url_or_name(queue):
    assert loaded(**{SOURCE: "queue", QUEUE: queue}).interruption_queue == queue


@pytest.mark.parametrize("queue", ["arn:aws:sqs:us-east-1:1:x", "a b", "x" * 81])
def test_what_is_no_queue_is_refused_before_it_is_asked_for(queue):
    said = refused(**{SOURCE: "queue", QUEUE: queue})
    assert f"{QUEUE}={queue!r}"[:60] in said
    assert "give its URL" in said


@pytest.mark.parametrize(
    ("variables", "region"),
    [
        ({}, ""),
        ({"AWS_DEFAULT_REGION": "b"}, "b"),
        ({"AWS_DEFAULT_REGION": "b", "AWS_REGION": "a"}, "a"),
        ({"AWS_DEFAULT_REGION": "b", "AWS_REGION": ""}, "b"),
    ],
)
def test_the_region_is_the_one_that_pods_get(variables, region):
    with patch.dict(os.environ, variables, clear=True):
        assert aws_region() == region


def test_risks_must_rise():
    said = refused(SPOTVORTEX_HIGH_RISK="0.3", SPOTVORTEX_MEDIUM_RISK="0.35")
    assert "0.35, 0.3: give them in rising order" in said


def test_a_risk_that_is_no_cap_needs_no_order():
    assert loaded(SPOTVORTEX_EMERGENCY_RISK="0.9").limits().emergency_risk == 0.9


def test_the_page_of_the_settings_is_up_to_date():
    assert configuration.PAGE.read_text("utf-8") == configuration.page()


def test_the_page_describes_every_setting():
    assert configuration.describe_fields().keys() == Settings.model_fields.keys()


_VALUE = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=40)
_LIKELY = st.one_of(
    _VALUE,
    st.floats().map(str),
    st.integers().map(str),
    st.sampled_from(["nan", "1e999", "1_0", "0x10", "tcp://", "rl", "true", "{}", "[1]", " 7 "]),
)
_NAME = st.one_of(
    st.sampled_from(sorted(Settings.model_fields)).map(lambda name: PREFIX + name.upper()),
    st.from_regex(r"\A(SPOTVORTEX|spotvortex)_[A-Za-z_0-9]{0,20}\Z"),
)


@given(st.dictionaries(_NAME, _LIKELY, max_size=6))
def test_any_environment_gives_settings_or_an_error_for_a_person(variables):
    with environment(**variables):
        said = ""
        try:
            load().limits()
        except SettingsError as error:
            said = str(error) or "nothing"
    assert not said or PREFIX in said.upper()
    assert "\n" not in said


@given(st.fixed_dictionaries({}, optional={PREFIX + n.upper(): _LIKELY for n in NUMBERS}))
def test_no_number_ever_leaves_its_bounds(variables):
    with environment(**variables):
        try:
            found = load()
        except SettingsError:
            return
    for name, field in NUMBERS.items():
        low, high = bounds(field)
        assert low <= getattr(found, name) <= high


@pytest.mark.parametrize(
    ("variables", "on"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_SDK_DISABLED": "True"}, False),
    ],
)
def test_traces_are_made_where_an_endpoint_is_named(variables, on):
    with patch.dict(os.environ, variables, clear=True):
        assert tracing_is_on() is on


@pytest.mark.parametrize(
    ("variables", "protocol"),
    [
        ({}, "http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "grpc"),
        (
            {
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            },
            "http/protobuf",
        ),
    ],
)
def test_the_protocol_of_traces_is_what_the_standard_variables_say(variables, protocol):
    with patch.dict(os.environ, variables, clear=True):
        assert tracing_protocol() == protocol


def test_a_protocol_that_is_not_spoken_is_refused_by_its_variable():
    with (
        patch.dict(os.environ, {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, clear=True),
        pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_PROTOCOL=http/json: give one of"),
    ):
        tracing_protocol()


RULES = '{"web": {"mode": "canary", "max-spot-ratio": "0.7", "on-demand-floor": "24 vcpu"}}'


def test_rules_of_pools_are_read_as_the_annotations_are():
    found = loaded(SPOTVORTEX_POOL_RULES=RULES).rules_of_pools()
    assert found == {"web": PoolRules(mode=Mode.CANARY, max_spot_ratio=0.7, floor_vcpu=24)}
    assert loaded().rules_of_pools() == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("web", "SPOTVORTEX_POOL_RULES: no JSON"),
        ("[" * 5000, "SPOTVORTEX_POOL_RULES: no JSON"),
        ("7", "SPOTVORTEX_POOL_RULES: give a JSON object with the names of pools"),
        ('{"web": 3}', "pool web: give an object of texts by the names max-spot-ratio"),
        ('{"web": {"mood": "calm"}}', "pool web has no rule mood: give max-spot-ratio, mode"),
        ('{"web": {"mode": "bold"}}', "pool web: spotvortex.io/mode='bold': give one of shadow"),
    ],
)
def test_rules_of_pools_that_cannot_be_read_are_refused_with_the_fix(text, words):
    said = refused(SPOTVORTEX_POOL_RULES=text)
    assert words in said
    assert "Undefined" not in said
