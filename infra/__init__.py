"""What runs the platform."""
