"""Binance spot: trades, best bid and ask, and books spliced from snapshots and changes."""
