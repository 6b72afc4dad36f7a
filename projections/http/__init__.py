"""The HTTP side of the read models: the query routes, the feed, and what all routes share."""
