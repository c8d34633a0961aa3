"""Kafka -> the outside: Redis, InfluxDB and the order executor, over one connector contract."""
