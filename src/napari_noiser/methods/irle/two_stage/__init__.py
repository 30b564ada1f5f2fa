"""Both stages together."""
