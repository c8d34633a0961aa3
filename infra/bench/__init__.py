"""Benchmarks on real Kafka: `flashmm bench`. The programs of the peers are in `tests/bench/peers`."""
