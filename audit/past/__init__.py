"""The past of a SpreaView event: its runs, its moments, the timelines of its entities."""
