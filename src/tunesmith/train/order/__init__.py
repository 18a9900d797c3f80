"""The order of learning: what an epoch holds, how it is cut into steps, and how long a training lasts."""
