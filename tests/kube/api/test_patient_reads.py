"""A read is sent again where that may help, and a refusal is taken as one."""

from random import Random

import pytest

from spotvortex.errors import ExpiredError, ForbiddenError, NotServedError, ServerError
from spotvortex.kube.api.patient_reads import RETRIES, PatientReads
from tests.kube.fake_api import CUT, Answer, FakeApi, listed, refused, serving, watched

PATH = "/api/v1/nodes"


async def read(api):
    async with serving(api) as client:
        return await PatientReads(client, Random(1)).get_bytes(PATH, timeout=10.0)


@pytest.mark.parametrize("failure", [refused(503), refused(500), refused(429), watched(CUT)])
async def test_a_busy_a_failing_and_a_cut_server_are_asked_again(failure):
    api = FakeApi([failure, failure, listed()])
    assert b"items" in await read(api)
    assert len(api.asked) == 3


async def test_a_server_that_goes_on_failing_is_told_of_after_four_requests():
    api = FakeApi([refused(503, f"no {n}") for n in range(9)])
    with pytest.raises(ServerError, match="no 3"):
        await read(api)
    assert len(api.asked) == RETRIES.n_attempts == 4


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, ForbiddenError), (403, ForbiddenError), (404, NotServedError), (410, ExpiredError)],
)
async def test_an_answer_is_not_asked_for_twice(status, error):
    api = FakeApi([refused(status), Answer({})])
    with pytest.raises(error):
        await read(api)
    assert len(api.asked) == 1


async def test_a_server_that_asks_for_more_time_than_there_is_is_asked_once():
    api = FakeApi([refused(429, headers={"Retry-After": "60"}), listed()])
    with pytest.raises(Exception, match="no"):
        await read(api)
    assert len(api.asked) == 1
