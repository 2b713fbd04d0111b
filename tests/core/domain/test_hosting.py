"""What a node runs on is told by its labels and its provider id, and where Spot may be at all."""

import pytest

from spotvortex.core.domain.cloud.hosting import COMPUTE_TYPE, WORDS, Hosting, hosting_of

EC2 = "aws:///us-east-1a/i-0123456789abcdef0"


@pytest.mark.parametrize(
    ("labels", "provider_id", "zone", "hosting"),
    [
        ({}, EC2, "us-east-1a", Hosting.EC2),
        ({}, "", "", Hosting.EC2),
        ({}, "kwok://node-1", "us-east-1a", Hosting.EC2),
        ({COMPUTE_TYPE: "ec2"}, EC2, "us-east-1a", Hosting.EC2),
        ({COMPUTE_TYPE: "auto"}, EC2, "us-east-1a", Hosting.AUTO_MODE),
        ({COMPUTE_TYPE: "fargate"}, "", "us-east-1a", Hosting.FARGATE),
        ({}, "aws:///us-east-1b/8d5d/fargate-ip-10-0-1-2", "us-east-1b", Hosting.FARGATE),
        ({COMPUTE_TYPE: "hybrid"}, "", "", Hosting.HYBRID),
        ({}, "eks-hybrid:///us-west-2/shop/mi-0123", "", Hosting.HYBRID),
        ({}, "vsphere://4230f2a1", "", Hosting.ANYWHERE),
        ({}, "tinkerbell://eksa-system/eksa-node-1", "", Hosting.ANYWHERE),
        ({}, "azure:///subscriptions/1/vm", "westeurope-1", Hosting.OTHER),
        ({}, "gce://shop/europe-west1-b/n", "europe-west1-b", Hosting.OTHER),
        ({}, "k3s://box", "", Hosting.OTHER),
        ({}, "aws:///us-west-2-lax-1a/i-0", "us-west-2-lax-1a", Hosting.LOCAL_ZONE),
        ({}, "aws:///x/i-0", "us-east-1-wl1-bos-wlz-1", Hosting.LOCAL_ZONE),
        ({}, EC2, "us-gov-west-1a", Hosting.EC2),
        ({}, EC2, "unknown", Hosting.EC2),
    ],
)
def test_what_it_runs_on(labels, provider_id, zone, hosting):
    assert hosting_of(labels, provider_id, zone) is hosting


def test_every_kind_but_plain_ec2_has_its_words_and_what_is_no_ec2_is_never_moved():
    assert {kind for kind, words in WORDS.items() if not words} == {Hosting.EC2}
    assert set(WORDS) == set(Hosting)
    for kind in Hosting:
        assert ("never moved" in WORDS[kind]) == (not kind.may_be_spot)
    assert "untested" in WORDS[Hosting.AUTO_MODE]
