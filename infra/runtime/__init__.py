"""Settings, logging, metrics, clock and Kafka client factories, shared by every process."""
