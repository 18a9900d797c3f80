"""Tunesmith: from a goal and a data file to a fine-tuned language model that provably meets it."""

__version__ = "0.1.0"
