"""Images in files: knows zarr, tifffile and numpy; nothing of torch, napari or Qt."""
