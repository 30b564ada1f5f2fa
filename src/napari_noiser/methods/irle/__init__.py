"""Networks fitted to the user's own dark images: a blind spot, retinex, and both."""
