"""A statement of commitments is read whole, or refused with the field and the fix."""

import json
import math
import re

import pytest

from spotvortex.core.domain.cloud.commitments import CommitmentKind, CommitmentState
from spotvortex.errors import CommitmentsError
from spotvortex.market.files.commitments import MAX_BYTES, commitments_of, read_commitments
from tests.paths import ROOT

PLAN = {"name": "sp", "type": "compute", "usd_per_hour": 10.0, "discount_percent": 25}
OF_FAMILY = PLAN | {"type": "ec2-instance", "family": "m6i", "region": "us-east-1"}
ZONAL = {"name": "ri", "instance_type": "m6i.large", "zone": "us-east-1a", "count": 3}
REGIONAL = {"name": "ri", "instance_type": "m6i.xlarge", "region": "us-east-1", "count": 3}
UNITS = {"name": "ri", "family": "m6i", "region": "us-east-1", "normalized_units": 64}


def read(**document):
    return commitments_of(json.dumps(document).encode(), "c.json")


def plan(**changes):
    (found,) = read(savings_plans=[PLAN | changes]).items
    return found


def reserved(base, **changes):
    (found,) = read(reserved_instances=[base | changes]).items
    return found


def test_nothing_stated_is_stated():
    found = read()
    assert (found.state, found.items) == (CommitmentState.STATED, ())


def test_a_compute_plan_is_of_any_family_and_region():
    found = plan(discounts_percent={"c6i": 30, "m6i.large": 28.5})
    assert (found.kind, found.amount) == (CommitmentKind.COMPUTE_PLAN, 10.0)
    assert (found.family, found.region, found.ends_at) == ("", "", math.inf)
    assert found.discount_of("c6i.large") == 0.3
    assert found.discount_of("m6i.large") == pytest.approx(0.285)
    assert found.discount_of("r6i.large") == 0.25


def test_an_instance_plan_is_of_one_family_in_one_region():
    found = plan(**OF_FAMILY)
    assert found.kind is CommitmentKind.INSTANCE_PLAN
    assert (found.family, found.region) == ("m6i", "us-east-1")


def test_this_clusters_share_is_its_own_or_that_of_the_whole_statement():
    found = read(allocation=0.5, savings_plans=[PLAN, PLAN | {"name": "own", "allocation": 0.1}])
    assert [c.amount for c in found.items] == [5.0, 1.0]
    assert reserved(ZONAL, allocation=0.5).amount == 1.5


def test_instances_of_a_zone_are_bound_to_their_type():
    found = reserved(ZONAL, discount_percent=40)
    assert (found.kind, found.amount) == (CommitmentKind.ZONAL_RESERVED, 3.0)
    assert (found.instance_type, found.zone) == ("m6i.large", "us-east-1a")
    assert found.discount_ratio == 0.4


@pytest.mark.parametrize(
    ("base", "changes", "instance_type", "amount"),
    [
        (REGIONAL, {}, "", 24.0),
        (UNITS, {}, "", 64.0),
        (REGIONAL, {"size_flexible": False}, "m6i.xlarge", 3.0),
        (REGIONAL, {"instance_type": "m6i.metal"}, "m6i.metal", 3.0),
    ],
)
def test_instances_of_a_region_are_units_of_their_family(base, changes, instance_type, amount):
    found = reserved(base, **changes)
    assert found.kind is CommitmentKind.REGIONAL_RESERVED
    assert (found.family, found.instance_type, found.amount) == ("m6i", instance_type, amount)


def test_a_commitment_ends_when_it_says():
    assert plan(ends_at="2027-06-30T00:00:00Z").ends_at == 1_814_313_600.0


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"savings_plan": []}, "savings_plan"),
        ({"savings_plans": [PLAN | {"usd_per_hour": -1}]}, "savings_plans[0].usd_per_hour: "),
        ({"savings_plans": [PLAN | {"usd_per_hour": "9"}]}, "savings_plans[0].usd_per_hour: "),
        ({"savings_plans": [PLAN | {"discount_percent": 100}]}, "[0].discount_percent: "),
        ({"savings_plans": [PLAN | {"type": "sagemaker"}]}, "savings_plans[0].type: "),
        ({"savings_plans": [PLAN | {"percent": 3}]}, "percent"),
        ({"savings_plans": [{"name": "sp"}]}, "savings_plans[0]: "),
        ({"savings_plans": [PLAN | {"family": "m6i"}]}, "savings_plans[0].family: leave it out"),
        ({"savings_plans": [OF_FAMILY | {"region": ""}]}, "savings_plans[0].region: give it"),
        ({"savings_plans": [OF_FAMILY | {"family": "m6i.large"}]}, "without a size"),
        ({"savings_plans": [OF_FAMILY | {"region": "us-east-1a"}]}, "such as us-east-1"),
        ({"savings_plans": [PLAN | {"discounts_percent": {"m6i.": 3}}]}, "'m6i.' is neither"),
        ({"savings_plans": [PLAN | {"allocation": 1.5}]}, "savings_plans[0].allocation: "),
        ({"savings_plans": [PLAN | {"ends_at": "2027-06-30T00:00:00"}]}, "add a time zone"),
        ({"savings_plans": [PLAN, PLAN]}, "savings_plans[0].name: 'sp' is given twice"),
        ({"savings_plans": [PLAN] * 201}, "savings_plans: "),
        ({"reserved_instances": [ZONAL | {"region": "us-east-1"}]}, "either a region or a zone"),
        ({"reserved_instances": [ZONAL | {"zone": ""}]}, "either a region or a zone"),
        ({"reserved_instances": [ZONAL | {"zone": "a"}]}, "such as us-east-1a"),
        ({"reserved_instances": [ZONAL | {"instance_type": "m6i"}]}, "such as m6i.large"),
        ({"reserved_instances": [ZONAL | {"count": None}]}, "reserved_instances[0].count: give it"),
        ({"reserved_instances": [ZONAL | {"family": "m6i"}]}, "neither family nor"),
        ({"reserved_instances": [UNITS | {"count": 2}]}, "give normalized_units with it"),
        ({"reserved_instances": [UNITS | {"normalized_units": None}]}, "give normalized_units"),
        ({"reserved_instances": [REGIONAL | {"count": 0}]}, "reserved_instances[0].count: "),
        ({"allocation": -0.1}, "allocation: "),
        ([], "Expected `object`"),
    ],
)
def test_what_is_not_as_expected_is_refused_with_the_field_and_the_fix(document, told):
    with pytest.raises(CommitmentsError) as refused:
        commitments_of(json.dumps(document).encode(), "c.json")
    assert str(refused.value).startswith("c.json: ")
    assert told in str(refused.value)
    assert str(refused.value).endswith("; see docs/commitments.md.")


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a": NaN}'])
def test_what_is_no_json_is_refused(raw):
    with pytest.raises(CommitmentsError, match=re.escape("c.json: ")):
        commitments_of(raw, "c.json")


def test_a_file_that_is_not_there_or_too_large_is_named(tmp_path):
    with pytest.raises(CommitmentsError, match="cannot be read"):
        read_commitments(tmp_path / "none.json")
    with pytest.raises(CommitmentsError, match="cannot be read"):
        read_commitments(tmp_path)
    large = tmp_path / "large.json"
    large.write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(CommitmentsError, match="keep it smaller"):
        read_commitments(large)


def test_the_statement_of_the_page_is_one(tmp_path):
    page = (ROOT / "docs" / "commitments.md").read_text()
    (example,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    path = tmp_path / "commitments.json"
    path.write_text(example)
    assert {c.kind for c in read_commitments(path).items} == set(CommitmentKind)
