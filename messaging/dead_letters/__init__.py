"""Dead letters: records that are not requests, and their resolutions."""
