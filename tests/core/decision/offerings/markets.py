"""What a pool may see of its Spot offerings, as hypothesis draws it."""

from hypothesis import strategies as st

from spotvortex.core.domain.types import Offering
from tests.core.builders import offered

ages = st.floats(0.0, 48.0)
markets = st.lists(
    st.builds(
        offered,
        st.builds(
            Offering,
            instance_type=st.sampled_from(["m6i.large", "c6i.xlarge", "r6i.large", "x"]),
            zone=st.sampled_from(["us-east-1a", "us-east-1b", "us-east-1c"]),
        ),
        n_spot=st.integers(0, 5),
        spot_usd_per_hour=st.none() | st.floats(0.001, 0.2),
        on_demand_usd_per_hour=st.none() | st.floats(0.05, 0.2),
        runtime_score=st.none() | st.floats(0.0, 1.0),
        in_scope=st.booleans(),
        held_hours=st.none() | ages,
        lost_hours=st.none() | ages | st.floats(0.0, 0.2),
        is_survivor=st.booleans(),
        refused_hours=st.none() | st.floats(0.0, 0.3),
    ),
    max_size=12,
    unique_by=lambda o: o.offering,
)
