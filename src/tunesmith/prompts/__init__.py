"""Prompt templates: how texts with labels or spans become conversations."""
