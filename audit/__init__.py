"""The past of the log: history, explanations, comparison, verification, transfer, erasure."""
