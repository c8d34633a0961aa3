"""The trainer: from simulated markets, through the platform's own stages, to a model file with its honest scores."""
