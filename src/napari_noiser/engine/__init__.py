"""Plan, measure, fold and render an array of any size."""
