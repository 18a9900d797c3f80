"""A review in the browser: a page for each rater, and a desk for whoever settles and reads the results."""
