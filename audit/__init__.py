"""Audit: the log's past, told, explained, compared, proven and replayed."""
