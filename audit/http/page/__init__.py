"""The web page, rendered on the server: imports, changes, and missing sessions."""
