"""How often a client may ask: a bucket of tokens for each, on the caller's clock."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

__all__ = ["RateLimit"]

_CLIENTS = 1_000
_US = 1_000_000


class RateLimit:
    """Allows `per_s` requests a second, and as many at once.

    Only the latest 1,000 clients are remembered.
    """

    def __init__(self, per_s: int) -> None:
        self._per_s = per_s
        self._buckets: OrderedDict[Hashable, tuple[int, int]] = OrderedDict()

    def allows(self, client: Hashable, now_us: int) -> bool:
        """Tell whether a client may ask now, and count it if so."""
        full = self._per_s * _US
        tokens, then_us = self._buckets.pop(client, (full, now_us))
        tokens = min(full, tokens + max(0, now_us - then_us) * self._per_s)
        allowed = tokens >= _US
        self._buckets[client] = (tokens - _US if allowed else tokens, now_us)
        if len(self._buckets) > _CLIENTS:
            self._buckets.popitem(last=False)
        return allowed
