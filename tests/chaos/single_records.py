"""The worker's app on an aiokafka whose internals changed: what is leaned on does not pass its self-test."""

from __future__ import annotations

from processors.microbatch import batches, selftest

batches.self_test = lambda: False
selftest.connection_works = lambda: False
selftest.takes_prebuilt = lambda: False

from processors.app import app  # noqa: E402  it tests when it is imported

__all__ = ["app"]
