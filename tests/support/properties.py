"""Property tests: `@for_all(strategies)` is Hypothesis' `given` with the settings of this project.

Single examples have no time limit, because other processes share the processor. Past examples are
not stored, because the checkout may belong to another user. A failure prints how to reproduce it.
"""

from hypothesis import HealthCheck, settings
from hypothesis import given as for_all

__all__ = ["for_all"]

settings.register_profile(
    "tests",
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tests")
