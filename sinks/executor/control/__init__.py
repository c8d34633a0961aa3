"""What holds trading back: commands, the ladder, breakers; docs/halts.md."""
