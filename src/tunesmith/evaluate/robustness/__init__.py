"""Robustness: what becomes of a model's answers when rows are changed in a way that leaves the right answer."""
