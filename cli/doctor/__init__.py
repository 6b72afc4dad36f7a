"""`doctor`: one check for each entry of the runbook, `docs/operations.md`."""
