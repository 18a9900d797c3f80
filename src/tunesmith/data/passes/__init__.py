"""Passes over the rows: reading them, putting them through steps, and what each pass leaves on disk."""
