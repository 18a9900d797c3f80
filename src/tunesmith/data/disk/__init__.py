"""Rows and examples on disk: written once, read any number of times, never all in memory."""
