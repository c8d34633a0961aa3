"""Citrex as a source of ticks: books and trades by polled REST."""
