"""Rows computed one after another, without padding."""
