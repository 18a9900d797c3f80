"""What is measured beside the test rows: judges' ratings, abilities before and after, suites."""
