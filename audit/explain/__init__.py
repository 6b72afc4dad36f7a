"""Explaining why SpreaView shows a session, room or speaker, or why it does not."""
