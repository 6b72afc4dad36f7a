"""Many clients of the live feed, a growing log, and a server that is killed."""
