"""Property tests: `@for_all(strategies)` is Hypothesis' `given` with the settings of this project.

Single examples have no time limit, because other processes share the processor. Past examples are
not stored, because the checkout may belong to another user. A failure prints how to reproduce it.
`SPREAVIEW_TEST_EXAMPLES` multiplies the number of examples of the long tests; `make properties`
sets it to 3.
"""

import os

from hypothesis import HealthCheck, settings
from hypothesis import given as for_all

__all__ = ["examples", "for_all"]

settings.register_profile(
    "tests",
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tests")


def examples(number: int) -> int:
    """Return the number of examples of a long test, of which `number` are in a normal run."""
    return number * int(os.environ.get("SPREAVIEW_TEST_EXAMPLES", "1"))
