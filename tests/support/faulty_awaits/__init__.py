"""The program with a fault at every await of its handler, relay and projector."""
