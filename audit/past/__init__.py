"""The past of a SpreaView event: its moments, its runs, the timelines of its entities."""
