"""Venue -> Kafka: each venue is a pure protocol (`protocol.py`) and a thin shell (`source.py`)."""
