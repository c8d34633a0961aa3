"""The embedded stack: what `make demo` and the tests start without Docker."""
