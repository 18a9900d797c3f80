"""What data steps and the audit are made of: pure functions on texts, labels and arrays."""
