"""What a few steps tell before a training: a learning rate, how many rows at once, how many rows a step are worth it.

Pure functions of what was measured; `flow/training/find.py` measures.
"""
