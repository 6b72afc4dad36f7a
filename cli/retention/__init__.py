"""What may be deleted by age, what is deleted, and what is kept."""
