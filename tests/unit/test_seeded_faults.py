"""Every seeded fault of the chaos harness still replaces parts that the program has."""

import subprocess
import sys

from tests.support.processes import ROOT

_SEED_ALL = "from tests.support.chaos.faulty import FAULTS; [seed() for seed in FAULTS.values()]"


def test_every_seeded_fault_finds_the_part_that_it_replaces() -> None:
    seeded = subprocess.run(
        [sys.executable, "-c", _SEED_ALL], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert seeded.returncode == 0, seeded.stderr
