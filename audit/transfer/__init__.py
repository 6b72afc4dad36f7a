"""The log in and out: export, import, replay, seals."""
