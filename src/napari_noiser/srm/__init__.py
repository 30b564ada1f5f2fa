"""The method: what a self-regression network is and how it is learned, from noise alone."""
