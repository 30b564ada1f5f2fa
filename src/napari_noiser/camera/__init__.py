"""A camera's noise: its model, estimated from the data or given, and what follows from it."""
