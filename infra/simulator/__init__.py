"""A simulated Sei node, to test and demo against."""
