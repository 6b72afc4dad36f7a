"""The web page, rendered on the server: what was imported, what changed, and what is missing."""
