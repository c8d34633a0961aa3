"""All the meaning: pure, synchronous and deterministic. No Faust, Kafka, Redis, clock or randomness."""
