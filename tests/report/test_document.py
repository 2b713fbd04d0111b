"""Values of the core in a report: objects by field, whatever class the core makes them of."""

from spotvortex.core.domain.types import Offering
from spotvortex.report.document import plain


def test_an_offering_is_an_object_in_a_report_and_a_text_where_it_is_a_key():
    offering = Offering(instance_type="m6i.large", zone="us-east-1a")
    assert plain([offering]) == [{"instance_type": "m6i.large", "zone": "us-east-1a"}]
    assert plain({offering: 1.0}) == {"m6i.large/us-east-1a": 1.0}
