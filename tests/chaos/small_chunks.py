"""The worker's app with snapshots that never fit one record."""

from __future__ import annotations

from processors.app import app
from processors.kernel import snapshot

__all__ = ["app"]

snapshot.CHUNK_BYTES = 1_500
