"""Health: what a process gets done, measured against the log and the topics, not against itself."""
