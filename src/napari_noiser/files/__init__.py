"""Images in files, read and written; the formats themselves know nothing of torch or napari."""
