"""Metrics at `/metrics`, and traces where an OTLP endpoint is set."""
