"""What a tuned model's answers rest on: words, layers, training rows."""
