"""Sei: events of the chain (`chain.py`), and the order book feed of the same JSON-RPC form (`clob.py`)."""
