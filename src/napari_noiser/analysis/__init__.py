"""What an image or a result is like: diagnosis, linearity, transfer curve, photometry."""
