"""Any array, any size: from the moments of its patches to the enhanced result."""
