"""Fill the live view's model from Redis, the way any client of the platform would read it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import redis

from infra.demo.view import ComponentRow, ViewModel
from infra.local.process import Child

__all__ = ["Feed"]

_TOTALS = {
    "ticks": ("worker", "ticks.received"),
    "accepted": ("worker", "ticks.accepted"),
    "trades": ("worker", "trades"),
    "features": ("worker", "features"),
    "predictions": ("worker", "predictions"),
    "decisions": ("worker", "decisions"),
    "orders": ("executor", "orders"),
    "fills": ("executor", "fills"),
    "redis writes": ("sink.redis", "writes"),
    "influx points": ("sink.influx", "points"),
}
_LATENCIES = {
    "tick→bar": ("worker", "latency_ms.tick_to_bar.p99"),
    "tick→order": ("executor", "latency_ms.tick_to_order.p99"),
    "model": ("worker", "latency_ms.inference.p99"),
}
_TIMEFRAMES = ("M1", "M5")
Document = dict[str, Any]


class Feed:
    """Reads what the Redis sink wrote.

    Args:
        owner: mode:account whose decisions and positions are shown.
    """

    def __init__(self, url: str, owner: str, market: tuple[str, str] | None) -> None:
        self._redis = redis.Redis.from_url(url, decode_responses=True, socket_timeout=2)
        self._owner = owner
        self._market = market

    def model(self, elapsed_s: float, banner: Sequence[tuple[str, str]], children: Iterable[Child]) -> ViewModel:
        """Read one frame."""
        metrics = self._document("flashmm:metrics:realtime") or {"components": {}}
        health = self._document("flashmm:health:status") or {"status": "starting"}
        quotes = self._documents("flashmm:quote:*:*")
        market = self._market or next(((q["venue"], q["symbol"]) for q in quotes), ("", ""))
        name = f"{market[0]}:{market[1]}"
        components: Mapping[str, Mapping[str, Document]] = metrics["components"]
        return ViewModel(
            elapsed_s=elapsed_s,
            banner=banner,
            components=[_row(child) for child in children],
            health=str(health["status"]),
            rates={key: _sum(components, *where, part="rates_per_s") for key, where in _TOTALS.items()},
            totals={key: int(_sum(components, *where, part="counters")) for key, where in _TOTALS.items()},
            rejected=_rejected(components),
            latency_ms=_latencies(components),
            market=market,
            book=self._document(f"flashmm:book:{name}"),
            decision=self._document(f"flashmm:decision:{self._owner}:{name}"),
            positions=self._documents(f"flashmm:position:{self._owner}:*"),
            balances=self._documents(f"flashmm:balance:{self._owner}:*"),
            quotes=quotes,
            bars=self._bars(),
            alert=self._alert(),
        )

    def close(self) -> None:
        """Let go of the connection."""
        self._redis.close()

    def _bars(self) -> list[Document]:
        bars: list[Document] = []
        for market in sorted(set(self._redis.scan_iter("flashmm:bars:*:*:M1", count=500))):
            root = market.rpartition(":")[0]
            for timeframe, kept in zip(_TIMEFRAMES, (4, 1), strict=True):
                found = self._redis.zrevrange(f"{root}:{timeframe}", 0, kept - 1)
                bars += [json.loads(str(text)) for text in found]
        return bars

    def _alert(self) -> Document | None:
        newest = self._redis.zrevrange("flashmm:alerts", 0, 0)
        return json.loads(str(newest[0])) if newest else None

    def _document(self, key: str) -> Document | None:
        text = self._redis.get(key)
        return None if text is None else json.loads(text)

    def _documents(self, pattern: str) -> list[Document]:
        keys = sorted(set(self._redis.scan_iter(pattern, count=500)))
        return [json.loads(text) for text in (self._redis.mget(keys) if keys else ()) if text is not None]


def _row(child: Child) -> ComponentRow:
    state = "running" if child.is_alive else ("finished" if child.returncode == 0 else f"ended {child.returncode}")
    return ComponentRow(child.name, state, child.sample_rss() / 2**20)


def _sum(components: Mapping[str, Mapping[str, Document]], component: str, counter: str, *, part: str) -> float:
    return sum(float(instance[part].get(counter, 0)) for instance in components.get(component, {}).values())


def _rejected(components: Mapping[str, Mapping[str, Document]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for instance in components.get("worker", {}).values():
        for name, count in instance["counters"].items():
            if name.startswith("ticks.rejected."):
                reason = name.removeprefix("ticks.rejected.")
                found[reason] = found.get(reason, 0) + count
    return found


def _latencies(components: Mapping[str, Mapping[str, Document]]) -> dict[str, float]:
    found = {}
    for name, (component, gauge) in _LATENCIES.items():
        values = [i["gauges"][gauge] for i in components.get(component, {}).values() if gauge in i["gauges"]]
        if values:
            found[name] = max(values)
    return found
