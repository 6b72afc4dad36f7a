"""The read models at any moment of the past, and the difference between two moments."""
