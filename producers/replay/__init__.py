"""Recordings, fed through the same sources as a live socket."""
