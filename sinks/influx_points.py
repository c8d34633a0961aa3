"""From records to InfluxDB points. Pure; see docs/influx.md for the measurements.

Exact integers in schema units carry the name of the number and `_units`; the float beside it is for display. Amounts of
1e-17 and 1e-18 do not fit InfluxDB's integers and are exact texts (`_exact`) beside a float.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from schemas.enums import OrderStatus
from schemas.numbers import AMOUNT_SCALE, NOTIONAL_SCALE, PRICE_SCALE, SIZE_SCALE, format_units
from schemas.records import (
    Balance,
    Bar,
    ExecutionReport,
    FeatureVector,
    Metric,
    Position,
    Prediction,
    Quote,
    Record,
    Trade,
)
from sinks.line_protocol import Field, Point

__all__ = ["points_of"]

_SLOTS = 1_000
_PERCENTILES = (".p50", ".p99")

Fields = dict[str, Field | None]


def points_of(record: Record) -> Iterable[Point]:
    """Give a record's points; none for a record that InfluxDB does not hold."""
    match record:
        case Trade():
            yield _trade(record)
        case Quote():
            yield _quote(record)
        case Bar():
            yield _bar(record)
        case FeatureVector():
            values: Fields = dict(zip(record.names, record.values, strict=True))
            yield Point("features", _market(record), {**values, "is_warm": record.is_warm}, record.ts_grid * _SLOTS)
        case Prediction():
            yield _prediction(record)
        case ExecutionReport() if record.status in (OrderStatus.PARTIAL, OrderStatus.FILLED):
            yield _fill(record)
        case Position():
            yield _position(record)
        case Balance():
            yield _balance(record)
        case Metric():
            yield from _metric(record)


def _trade(trade: Trade) -> Point:
    # The venue's time where it gives one, so that ticks and bars share an axis. Trades of one microsecond keep apart in
    # the three digits below it: by a numeric trade id, which counts up by one, else by the place in the log.
    slot = int(trade.trade_id) if trade.trade_id.isdecimal() else trade.cause_offset
    micros = trade.ts_event if trade.ts_event is not None else trade.ts_recv
    fields = {
        **_price("price", trade.price),
        **_size("size", trade.size),
        "trade_id": trade.trade_id,
        "ts_recv": trade.ts_recv,
        "flags": trade.flags,
    }
    return Point("ticks", {**_market(trade), "side": trade.side}, fields, micros * _SLOTS + slot % _SLOTS)


def _quote(quote: Quote) -> Point:
    fields = {
        **_price("bid_price", quote.bid_price),
        **_size("bid_size", quote.bid_size),
        **_price("ask_price", quote.ask_price),
        **_size("ask_size", quote.ask_size),
        "state": str(quote.state),
        "ts_event": quote.ts_event,
        "flags": quote.flags,
    }
    return Point("quotes", _market(quote), fields, quote.ts_recv * _SLOTS + quote.cause_offset % _SLOTS)


def _bar(bar: Bar) -> Point:
    fields = {
        **_price("open", bar.open),
        **_price("high", bar.high),
        **_price("low", bar.low),
        **_price("close", bar.close),
        **_price("vwap", bar.vwap),
        **_size("volume", bar.volume),
        **_size("buy_volume", bar.buy_volume),
        **_size("sell_volume", bar.sell_volume),
        **_amount("quote_volume", bar.quote_volume),
        "trade_count": bar.trade_count,
        "state": str(bar.state),
        "revision": bar.revision,
        "is_complete": bar.is_complete,
        "flags": bar.flags,
    }
    return Point("bars", {**_market(bar), "timeframe": bar.timeframe}, fields, bar.ts_open * _SLOTS)


def _prediction(prediction: Prediction) -> Point:
    fields: Fields = {
        "return_bps": prediction.return_bps,
        "horizon_ms": prediction.horizon_ms,
        "model_hash": prediction.model_hash,
    }
    tags = {**_market(prediction), "model_id": prediction.model_id}
    return Point("predictions", tags, fields, prediction.ts_grid * _SLOTS)


def _fill(report: ExecutionReport) -> Point:
    fields = {
        **_price("price", report.last_price),
        **_size("size", report.last_size),
        **_amount("fee", report.fee),
        "order_id": report.order_id,
        "execution_id": report.execution_id,
        "ts_recv": report.ts_recv,
    }
    tags = {**_market(report), "mode": str(report.mode), "account": report.account, "side": str(report.side)}
    slot = zlib.crc32(report.execution_id.encode()) % _SLOTS
    return Point("fills", tags, fields, report.ts_event * _SLOTS + slot)


def _position(position: Position) -> Point:
    fields = {
        **_size("quantity", position.quantity),
        **_price("average_price", position.average_price),
        **_amount("cash", position.cash),
        **_amount("fees", position.fees),
        **_amount("realised_pnl", position.realised_pnl),
        **_price("mark", position.mark),
        **_amount("unrealised_pnl", position.unrealised_pnl),
        **_amount("funding", position.funding, AMOUNT_SCALE),
        **_amount("accrued_funding", position.accrued_funding, AMOUNT_SCALE),
        "fill_count": position.fill_count,
    }
    tags = {**_market(position), "mode": str(position.mode), "account": position.account}
    return Point("positions", tags, fields, position.ts_update * _SLOTS)


def _balance(balance: Balance) -> Point:
    fields: Fields = {
        **_amount("quantity", balance.quantity, AMOUNT_SCALE),
        **_amount("equity", balance.equity, AMOUNT_SCALE),
        **_amount("deposits", balance.deposits, AMOUNT_SCALE),
        **_amount("margin_used", balance.margin_used, AMOUNT_SCALE),
        **_amount("margin_available", balance.margin_available, AMOUNT_SCALE),
        **_amount("peak_equity", balance.peak_equity, AMOUNT_SCALE),
        **_amount("day_equity", balance.day_equity, AMOUNT_SCALE),
        **_amount("drawdown", balance.drawdown, AMOUNT_SCALE),
        "breach": balance.breach,
    }
    tags = {"venue": balance.venue, "asset": balance.asset, "mode": str(balance.mode), "account": balance.account}
    return Point("balances", tags, fields, balance.ts_update * _SLOTS)


def _metric(metric: Metric) -> Iterable[Point]:
    tags = {"component": metric.component, "instance": metric.instance}
    time_ns = metric.ts_metric * _SLOTS
    latencies: dict[str, Fields] = {}
    gauges: Fields = {}
    for name, value in metric.gauges.items():
        if name.endswith(_PERCENTILES):
            stage, _, percentile = name.removeprefix("latency_ms.").rpartition(".")
            latencies.setdefault(stage, {})[f"{percentile}_ms"] = float(value)
        else:
            gauges[name] = float(value)
    for stage, fields in latencies.items():
        yield Point("latency", {**tags, "stage": stage}, fields, time_ns)
    if gauges:
        yield Point("gauges", tags, gauges, time_ns)
    if metric.counters:
        yield Point("counters", tags, dict(metric.counters), time_ns)


def _market(
    record: Trade | Quote | Bar | FeatureVector | Prediction | ExecutionReport | Position,
) -> dict[str, str]:
    return {"venue": record.venue, "symbol": record.symbol}


def _price(name: str, units: int | None) -> Fields:
    return _number(name, units, PRICE_SCALE)


def _size(name: str, units: int | None) -> Fields:
    return _number(name, units, SIZE_SCALE)


def _number(name: str, units: int | None, scale: int) -> Fields:
    return {} if units is None else {name: units / 10**scale, f"{name}_units": units}


def _amount(name: str, units: int | None, scale: int = NOTIONAL_SCALE) -> Fields:
    return {} if units is None else {name: units / 10**scale, f"{name}_exact": format_units(units, scale)}
