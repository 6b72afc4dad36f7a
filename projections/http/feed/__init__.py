"""The live feed: the log as pages and as server-sent events, from one cursor.

The log is the queue. A client is a position in it: no queue per client, nothing dropped, nothing
repeated. The newest events are encoded once and shared by all clients.
"""
