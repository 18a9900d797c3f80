"""What a decision must not be taken without: rows that were trained on, and what speaks against the tuned model."""
