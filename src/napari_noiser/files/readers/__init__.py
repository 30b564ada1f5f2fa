"""Readers of TIFF and zarr."""
