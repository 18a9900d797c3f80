"""What a model answers: generated text, scored choices, the surprise of a text, batch by batch."""
