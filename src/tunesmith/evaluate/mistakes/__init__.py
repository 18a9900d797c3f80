"""Where a model goes wrong: single rows, labels, and kinds of rows."""
