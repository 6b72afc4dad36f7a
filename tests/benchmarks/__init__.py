"""Measurements: each figure is a ratio to a floor or a peer that was taken in the same run."""
