"""The layers of a model: how deep each lies, which can be frozen, which an adapter can reach."""
