"""All checks of `doctor`, in the order in which their findings are shown."""

from collections.abc import Sequence

from cli.doctor import clocks, database, given_settings, rights, servers, topics, work
from cli.doctor.findings import Check

CHECKS: Sequence[Check] = (
    *given_settings.CHECKS,
    *servers.CHECKS,
    *database.CHECKS,
    *rights.CHECKS,
    *topics.CHECKS,
    *work.CHECKS,
    *clocks.CHECKS,
)
