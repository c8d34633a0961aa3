"""Protocols of venues that both producers and sinks speak: pure, no sockets, no clock."""
