"""Base models, adapters, generation and what they cost: the room that knows torch.

`load` opens a model, `model` is what it opens, `adapters/` are the ways to train a part of it,
`generate` and `score` use it, `facts` and `memory` tell about it without loading weights.
Importing this package imports neither torch nor transformers.
"""
