"""Search: which settings of a spec do best, found by trials of which each is a short training."""
