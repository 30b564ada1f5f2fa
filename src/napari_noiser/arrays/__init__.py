"""Arrays of any kind: axes, chunks, readers, lazy views, and what lies beside an image."""
