"""Noise self-regression: recipes, noise sources, networks, folding and training."""
