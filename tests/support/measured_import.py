"""Import an answer under the default limits, and print code, seconds and memory as JSON.

Run as `python -m tests.support.measured_import BASE_URL`, in a process of its own.
"""

import asyncio
import json
import resource
import sys
from pathlib import Path

from tests.support.first_import import import_from
from worker.source.sessionize import FetchLimits

MIB = 1024 * 1024


def peak_mib() -> float:
    """The peak memory of this process.

    On Linux, `getrusage` includes the memory that the parent had at the fork.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) / 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / MIB if sys.platform == "darwin" else most / 1024


def main(base_url: str) -> None:
    before = peak_mib()
    run = asyncio.run(import_from(base_url, FetchLimits(attempts=1)))
    measured = {"code": run.failed.code, "seconds": run.seconds, "more_mib": peak_mib() - before}
    sys.stdout.write(json.dumps(measured))


if __name__ == "__main__":
    main(sys.argv[1])
