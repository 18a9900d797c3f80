"""Measures what was trained: predictions, their comparison with the base, and the verdict."""
