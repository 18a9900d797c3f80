"""Sections of `evaluate` that ask for more than figures of the test rows, one file each."""
