"""Chapters of rooms: what was looked at beyond figures of the test rows."""
