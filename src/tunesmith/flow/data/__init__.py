"""The data of a spec before and beside a run: prepared, checked, drafted, audited, pruned and forgotten."""
