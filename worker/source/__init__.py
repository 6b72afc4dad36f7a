"""Fetching the schedule from Sessionize over HTTP."""
