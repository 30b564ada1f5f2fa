"""Writers of OME-Zarr and OME-TIFF."""
