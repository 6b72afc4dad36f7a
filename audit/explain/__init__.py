"""Why a session, room or speaker is or is not in the schedule."""
