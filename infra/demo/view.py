"""The live view of a demonstration, drawn from what Redis holds. Pure: a model in, something that rich prints out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

__all__ = ["ComponentRow", "ViewModel", "render"]

Document = Mapping[str, Any]
_BOOK_DEPTH = 8


@dataclass(frozen=True, slots=True)
class ComponentRow:
    """One process of the platform as it is shown."""

    name: str
    state: str
    rss_mb: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class ViewModel:
    """All that one frame shows; documents are as the Redis sink writes them.

    Attributes:
        banner: What is real and what stands in: (word, detail) pairs.
        rates: Records a second by name. totals: cumulative counts by name.
        latency_ms: Latencies by name.
        market: The (venue, symbol) whose book is drawn.
        bars: Bars by market, newest first.
    """

    elapsed_s: float
    banner: Sequence[tuple[str, str]]
    components: Sequence[ComponentRow]
    health: str
    rates: Mapping[str, float]
    totals: Mapping[str, int]
    rejected: Mapping[str, int]
    latency_ms: Mapping[str, float]
    market: tuple[str, str]
    book: Document | None = None
    decision: Document | None = None
    positions: Sequence[Document] = ()
    quotes: Sequence[Document] = ()
    bars: Sequence[Document] = field(default_factory=tuple)


def render(model: ViewModel) -> RenderableType:
    """Draw one frame."""
    layout = Layout()
    layout.split_column(Layout(_header(model), size=2 + len(model.banner)), Layout(name="body"))
    layout["body"].split_row(
        Layout(name="left", ratio=5), Layout(name="middle", ratio=6), Layout(name="right", ratio=4)
    )
    layout["left"].split_column(Layout(_book(model), ratio=3), Layout(_positions(model), ratio=1, minimum_size=6))
    layout["middle"].split_column(Layout(_bars(model), ratio=3), Layout(_markets(model), ratio=2))
    layout["right"].split_column(Layout(_flow(model), ratio=3), Layout(_components(model), ratio=3))
    return layout


def _header(model: ViewModel) -> RenderableType:
    lines = []
    for word, detail in model.banner:
        is_pretended = word in ("SIMULATED", "STAND-IN", "RECORDED", "MODEL-FREE", "PAPER")
        style = "black on yellow" if is_pretended else "black on green"
        lines.append(Text.assemble((f" {word} ", style), f" {detail}"))
    title = f"FlashMM  {model.elapsed_s:6.1f} s  {model.health}"
    return Panel(Group(*lines), title=title, title_align="left", border_style="cyan")


def _book(model: ViewModel) -> RenderableType:
    venue, symbol = model.market
    book = model.book
    if book is None:
        return Panel("no book yet", title=f"{venue} {symbol}")
    ours = _our_prices(model.decision)
    table = Table(expand=True, box=None, pad_edge=False)
    for name, justify in (
        ("ours", "right"),
        ("bid size", "right"),
        ("price", "center"),
        ("ask size", "left"),
        ("ours", "left"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    asks = [(Decimal(level["price"]), level["size"], "") for level in book["asks"]]
    bids = [(Decimal(level["price"]), level["size"], "") for level in book["bids"]]
    for price, size, our in reversed(_with_ours(asks, ours["asks"], reverse=False)[:_BOOK_DEPTH]):
        table.add_row("", "", Text(str(price), "red"), size, Text(our, "bold yellow"))
    for price, size, our in _with_ours(bids, ours["bids"], reverse=True)[:_BOOK_DEPTH]:
        table.add_row(Text(our, "bold yellow"), size, Text(str(price), "green"), "", "")
    subtitle = _decision_line(model.decision)
    return Panel(table, title=f"{venue} {symbol}  {book['state']}", subtitle=subtitle, border_style="blue")


def _our_prices(decision: Document | None) -> dict[str, dict[Decimal, str]]:
    sides: dict[str, dict[Decimal, str]] = {"bids": {}, "asks": {}}
    for side, levels in sides.items():
        for level in decision[side] if decision is not None else ():
            levels[Decimal(level["price"])] = level["size"]
    return sides


def _with_ours(
    levels: list[tuple[Decimal, str, str]], ours: Mapping[Decimal, str], *, reverse: bool
) -> list[tuple[Decimal, str, str]]:
    known = {price for price, _, _ in levels}
    marked = [(price, size, ours.get(price, "")) for price, size, _ in levels]
    marked += [(price, "", size) for price, size in ours.items() if price not in known]
    return sorted(marked, key=lambda row: row[0], reverse=reverse)


def _decision_line(decision: Document | None) -> str:
    if decision is None:
        return "no decision yet"
    reasons = " ".join(decision["reasons"])
    return f"{decision['verdict']} {reasons}  signal {decision['signal_bps']:+.2f} bp".strip()


def _positions(model: ViewModel) -> RenderableType:
    table = Table(expand=True, box=None)
    for name in ("market", "position", "PnL (quote)", "fees", "fills"):
        table.add_column(name, justify="left" if name == "market" else "right")
    mids = {(q["venue"], q["symbol"]): _mid(q) for q in model.quotes}
    for position in model.positions:
        mark = mids.get((position["venue"], position["symbol"]))
        quantity = Decimal(position["quantity"])
        worth = Decimal(0) if quantity == 0 else (quantity * mark if mark is not None else None)
        pnl = None if worth is None else Decimal(position["cash"]) + worth - Decimal(position["fees"])
        table.add_row(
            position["symbol"],
            position["quantity"],
            "?" if pnl is None else f"{pnl:+.4f}",
            f"{Decimal(position['fees']):.4f}",
            str(position["fill_count"]),
        )
    mode = model.positions[0]["mode"] if model.positions else "paper"
    return Panel(table, title=f"Positions ({mode} orders only)", border_style="blue")


def _mid(quote: Document) -> Decimal | None:
    if quote["bid_price"] is None or quote["ask_price"] is None:
        return None
    return (Decimal(quote["bid_price"]) + Decimal(quote["ask_price"])) / 2


def _bars(model: ViewModel) -> RenderableType:
    parts: list[RenderableType] = []
    for market in dict.fromkeys((bar["venue"], bar["symbol"]) for bar in model.bars):
        table = Table(expand=True, box=None, padding=(0, 1, 0, 0), show_header=not parts)
        for name in ("bar", "UTC", "open", "high", "low", "close", "volume"):
            table.add_column(name, justify="left" if name == "bar" else "right", no_wrap=True, ratio=1)
        for bar in model.bars:
            if (bar["venue"], bar["symbol"]) == market:
                is_open = bar["state"] == "PARTIAL"
                minute = (bar["ts_open"] // 60_000_000) % 1440
                table.add_row(
                    f"{bar['timeframe']}{'…' if is_open else ''}",
                    f"{minute // 60:02}:{minute % 60:02}",
                    *(_short(bar[name]) for name in ("open", "high", "low", "close", "volume")),
                    style="dim" if is_open else "",
                )
        parts += [Text(" ".join(market), "bold"), table]
    return Panel(Group(*parts), title="Bars (… still open)", border_style="blue")


def _short(value: str) -> str:
    """Six significant digits, never an exponent: enough to read, and the table keeps its width."""
    number = Decimal(value)
    return f"{number:.0f}" if abs(number) >= 100_000 else f"{number:.6g}"


def _markets(model: ViewModel) -> RenderableType:
    table = Table(expand=True, box=None)
    for name in ("market", "bid", "ask", "spread bp", "book"):
        table.add_column(name, justify="left" if name == "market" else "right", no_wrap=True)
    for quote in model.quotes:
        mid = _mid(quote)
        spread = "" if not mid else f"{(Decimal(quote['ask_price']) - Decimal(quote['bid_price'])) / mid * 10_000:.2f}"
        table.add_row(
            f"{quote['venue']} {quote['symbol']}",
            quote["bid_price"] or "-",
            quote["ask_price"] or "-",
            spread,
            quote["state"],
        )
    return Panel(table, title="Best bid and ask", border_style="blue")


def _flow(model: ViewModel) -> RenderableType:
    table = Table(expand=True, box=None)
    for name in ("", "a second", "in all"):
        table.add_column(name, justify="right" if name else "left")
    for name, total in model.totals.items():
        rate = model.rates.get(name)
        table.add_row(name, "" if rate is None else f"{rate:,.0f}", f"{total:,}")
    rejected = ", ".join(f"{reason} {count}" for reason, count in model.rejected.items()) or "none"
    latency = "  ".join(f"{name} {value:.1f}" for name, value in model.latency_ms.items())
    return Panel(
        Group(table, Text(f"rejected: {rejected}", "yellow"), Text(f"latency ms: {latency}")),
        title="Flow",
        border_style="blue",
    )


def _components(model: ViewModel) -> RenderableType:
    table = Table(expand=True, box=None)
    for name in ("component", "state", "MB", ""):
        table.add_column(name, justify="right" if name == "MB" else "left", no_wrap=True)
    for row in model.components:
        style = "green" if row.state in ("running", "healthy") else "red"
        table.add_row(row.name, Text(row.state, style), f"{row.rss_mb:.0f}", row.note)
    total = sum(row.rss_mb for row in model.components)
    return Panel(table, title=f"Components  {total:,.0f} MB", border_style="blue")
