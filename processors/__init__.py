"""Faust: from ticks to trades, books, bars, features, predictions and quotes."""
