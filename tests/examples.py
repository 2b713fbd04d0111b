"""How many examples a property is tried with: all of them, or few in the unit tests.

Comes in: hypothesis's profile, which `--hypothesis-profile` names and `make test-unit` sets. Goes
out: settings for `@given`. A property without settings of its own follows the profile by itself.
May not decide what is tried.
"""

from hypothesis import Phase, settings

WHOLE = 100
"""Examples of a property that asks for no number, under a profile that tries all."""
UNIT = 10
"""The same in the unit tests: a property that breaks easily breaks within these."""
MUTANTS = 20
"""The same where a change of the code is to be noticed."""
FEWEST = 5


def register(*, derandomize: bool) -> None:
    """Make the profiles `whole`, `unit` and `mutants` known, and choose `whole`.

    A shared machine has no deadlines. Where runs are to be compared, as in CI, `derandomize` has
    each run try the same examples. `mutants` is for who asks only whether a property breaks
    (`scripts/mutants`): no example is made small.
    """
    for name, n_examples in (("whole", WHOLE), ("unit", UNIT), ("mutants", MUTANTS)):
        settings.register_profile(
            name, deadline=None, derandomize=derandomize, max_examples=n_examples
        )
    settings.register_profile(
        "mutants", settings.get_profile("mutants"), phases=(Phase.explicit, Phase.generate)
    )
    settings.load_profile("whole")


def examples(n_examples: int) -> settings:
    """Return settings for so many examples, or the profile's share of them."""
    share = settings.default.max_examples / WHOLE
    return settings(max_examples=min(n_examples, max(FEWEST, round(n_examples * share))))
