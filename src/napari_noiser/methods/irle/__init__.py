"""IRLE, reconstructed from public figures: a blind spot, Retinex, and both stages together."""

METHOD = "IRLE, reconstructed from public figures"
"""How headers and provenance name the method (arXiv 2605.28605)."""

STAGE_1 = "light"
"""What files and provenance call stage 1, Retinex: its kind, its recipe, its weights."""
