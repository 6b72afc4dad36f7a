"""Property tests: `@for_all(strategies)` instead of Hypothesis' own `given`.

No time limit for a single example, since other processes share the processor; and no folder of
past examples, since the checkout may belong to another user. A failure prints how to repeat it.
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
