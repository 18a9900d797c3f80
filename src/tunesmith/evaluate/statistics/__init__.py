"""How far figures may be off, and whether they differ."""
