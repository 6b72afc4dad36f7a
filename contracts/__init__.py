"""The public contracts: messages, import events, topic names, identity and their schemas.

The ground floor: no module here imports another package of this project, does input or output, or
reads a clock.
"""
