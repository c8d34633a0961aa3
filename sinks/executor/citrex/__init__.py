"""Citrex as a venue of the executor; docs/citrex.md."""
