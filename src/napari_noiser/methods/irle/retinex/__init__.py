"""The first stage: illumination and reflectance."""
