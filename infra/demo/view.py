"""The live view of a demonstration, drawn from what Redis holds. Pure: a model in, something that rich prints out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

__all__ = ["ComponentRow", "ViewModel", "render"]

Document = Mapping[str, Any]
_BOOK_DEPTH = 8
_WIDE_COLUMNS, _WIDE_ROWS = 156, 40
_BRIEF = ("ticks", "trades", "decisions", "orders", "fills")
_OHLC = ("open", "high", "low", "close")
_PRICE_DIGITS = 7


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
        latency_ms: The 99th percentiles by name.
        market: The (venue, symbol) whose book is drawn.
        bars: Bars by market, newest first.
        alert: The newest one.
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
    balances: Sequence[Document] = ()
    quotes: Sequence[Document] = ()
    bars: Sequence[Document] = field(default_factory=tuple)
    alert: Document | None = None


def render(model: ViewModel, *, columns: int = _WIDE_COLUMNS, rows: int = _WIDE_ROWS) -> RenderableType:
    """Draw one frame for a terminal of that size; a small one (80 by 24 at least) gets less, none of it cut."""
    if columns < _WIDE_COLUMNS or rows < _WIDE_ROWS:
        return _compact(model, rows)
    layout = Layout()
    layout.split_column(Layout(_header(model), size=2 + len(model.banner)), Layout(name="body"))
    layout["body"].split_row(
        Layout(name="left", ratio=5), Layout(name="middle", ratio=6), Layout(name="right", ratio=4)
    )
    layout["left"].split_column(
        Layout(_book(model, _BOOK_DEPTH), ratio=3), Layout(_positions(model), ratio=1, minimum_size=6)
    )
    layout["middle"].split_column(Layout(_bars(model), ratio=3), Layout(_markets(model), ratio=2))
    layout["right"].split_column(Layout(_flow(model), ratio=3), Layout(_components(model), ratio=3))
    return layout


def _compact(model: ViewModel, rows: int) -> RenderableType:
    header, flow = 2 + 2, 2 + 1 + len(_BRIEF) + 3
    positions = 3 + max(1, len(model.positions))
    depth = max(1, min(_BOOK_DEPTH, (rows - header - positions - 3) // 2))
    layout = Layout()
    layout.split_column(Layout(_short_header(model), size=header), Layout(name="body"))
    layout["body"].split_row(Layout(name="left"), Layout(name="right"))
    layout["left"].split_column(Layout(_book(model, depth)), Layout(_positions(model), size=positions))
    layout["right"].split_column(
        Layout(_flow(model, _BRIEF), size=flow),
        Layout(_closes(model)),
        Layout(_component_line(model), size=3),
    )
    return layout


def _badge(word: str) -> tuple[str, str]:
    is_pretended = word in ("SIMULATED", "STAND-IN", "RECORDED", "MODEL-FREE", "PAPER")
    return f" {word} ", "black on yellow" if is_pretended else "black on green"


def _header(model: ViewModel) -> RenderableType:
    lines = [Text.assemble(_badge(word), f" {detail}") for word, detail in model.banner]
    message = "" if model.alert is None else f": {model.alert['message']}"
    return _titled(model, Group(*lines), _alert_line(model.alert) + message)


def _short_header(model: ViewModel) -> RenderableType:
    line = Text()
    for word in dict.fromkeys(word for word, _ in model.banner):
        what = ", ".join(detail.partition(":")[0] for each, detail in model.banner if each == word)
        line.append(*_badge(word)).append(f" {what}  ")
    return _titled(model, line, _alert_line(model.alert))


def _titled(model: ViewModel, body: RenderableType, alert: str) -> RenderableType:
    title = f"FlashMM  {model.elapsed_s:6.1f} s  {model.health}"
    said = Text(alert, "yellow") if alert else None
    return Panel(body, title=title, title_align="left", subtitle=said, subtitle_align="left", border_style="cyan")


def _alert_line(alert: Document | None) -> str:
    if alert is None:
        return ""
    second = alert["ts_alert"] // 1_000_000 % 60
    return f"last alert {_minute(alert['ts_alert'])}:{second:02} {alert['code']} {alert['component']}"


def _book(model: ViewModel, depth: int) -> RenderableType:
    venue, symbol = model.market
    book = model.book
    if book is None:
        return Panel("no book yet", title=f"{venue} {symbol}")
    ours = _our_prices(model.decision)
    table = Table(expand=True, box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for name, justify in (
        ("ours", "right"),
        ("bid", "right"),
        ("price", "center"),
        ("ask", "left"),
        ("ours", "left"),
    ):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    asks = [(Decimal(level["price"]), level["size"], "") for level in book["asks"]]
    bids = [(Decimal(level["price"]), level["size"], "") for level in book["bids"]]
    places = _places(price for price, _, _ in (*asks, *bids))
    for price, size, our in reversed(_with_ours(asks, ours["asks"], reverse=False)[:depth]):
        table.add_row("", "", Text(f"{price:.{places}f}", "red"), _short_size(size), Text(our, "bold yellow"))
    for price, size, our in _with_ours(bids, ours["bids"], reverse=True)[:depth]:
        table.add_row(Text(our, "bold yellow"), _short_size(size), Text(f"{price:.{places}f}", "green"), "", "")
    subtitle = _decision_line(model.decision)
    title = f"{venue} {symbol}  {book['state']}"
    return Panel(table, title=title, subtitle=subtitle, border_style="blue", padding=0)


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
    table = Table(expand=True, box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("market", "position", "PnL", "open", "fills"):
        table.add_column(name, justify="left" if name == "market" else "right", no_wrap=True)
    for position in model.positions:
        open_pnl = position["unrealised_pnl"]
        is_flat = Decimal(position["quantity"]) == 0
        table.add_row(
            position["symbol"],
            position["quantity"],
            f"{Decimal(position['realised_pnl']) - Decimal(position['fees']) + Decimal(position['funding'] or 0):+.2f}",
            "" if is_flat else "?" if open_pnl is None else f"{Decimal(open_pnl):+.2f}",
            str(position["fill_count"]),
        )
    mode = model.positions[0]["mode"] if model.positions else "paper"
    title = f"Positions ({mode}), PnL in {_asset(model.balances)}"
    return Panel(table, title=title, subtitle=_equity_line(model.balances), border_style="blue", padding=0)


def _equity_line(balances: Sequence[Document]) -> str:
    known = [balance for balance in balances if balance["equity"] is not None and balance["peak_equity"] is not None]
    if not balances or len(known) < len(balances):
        return "equity ?" if balances else ""
    equity = sum(Decimal(balance["equity"]) for balance in known)
    drawdown = sum(max(Decimal(0), Decimal(b["peak_equity"]) - Decimal(b["equity"])) for b in known)
    return f"equity {equity:,.2f}, drawdown {drawdown:,.2f}"


def _asset(balances: Sequence[Document]) -> str:
    """What amounts are counted in."""
    assets = {balance["asset"] for balance in balances}
    return str(*assets) if len(assets) == 1 else "quote assets"


def _mid(quote: Document) -> Decimal | None:
    if quote["bid_price"] is None or quote["ask_price"] is None:
        return None
    return (Decimal(quote["bid_price"]) + Decimal(quote["ask_price"])) / 2


def _bars(model: ViewModel) -> RenderableType:
    parts: list[RenderableType] = []
    for market in dict.fromkeys((bar["venue"], bar["symbol"]) for bar in model.bars):
        table = Table(expand=True, box=None, padding=(0, 1, 0, 0), show_header=not parts)
        table.add_column("bar", no_wrap=True, width=4)
        table.add_column("UTC", no_wrap=True, width=5)
        for name in (*_OHLC, "volume"):
            table.add_column(name, justify="right", no_wrap=True, ratio=1)
        bars = [bar for bar in model.bars if (bar["venue"], bar["symbol"]) == market]
        places = _bar_places(bars)
        for bar in bars:
            is_open = bar["state"] == "PARTIAL"
            table.add_row(
                f"{bar['timeframe']}{'…' if is_open else ''}",
                _minute(bar["ts_open"]),
                *(f"{Decimal(bar[name]):.{places}f}" for name in _OHLC),
                _short(bar["volume"]),
                style="dim" if is_open else "",
            )
        parts += [Text(" ".join(market), "bold"), table]
    return Panel(Group(*parts), title="Bars (… still open)", border_style="blue")


def _closes(model: ViewModel) -> RenderableType:
    """Each market's newest minute."""
    table = Table(expand=True, box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("M1 bar", "UTC", "close"):
        table.add_column(name, justify="left" if name == "M1 bar" else "right", no_wrap=True)
    newest = {(bar["venue"], bar["symbol"]): bar for bar in reversed(model.bars) if bar["timeframe"] == "M1"}
    for market in sorted(newest):
        bar = newest[market]
        close = f"{Decimal(bar['close']):.{_bar_places([bar])}f}"
        table.add_row(" ".join(market), _minute(bar["ts_open"]), close)
    return Panel(table, title="Bars", border_style="blue", padding=0)


def _minute(ts_us: int) -> str:
    minute = ts_us // 60_000_000 % 1440
    return f"{minute // 60:02}:{minute % 60:02}"


def _short_size(size: str) -> str:
    """A level's size; none where it is only ours."""
    return _short(size) if size else ""


def _short(value: str) -> str:
    """Six significant digits, never an exponent: enough to read, and the table keeps its width."""
    number = Decimal(value)
    return f"{number:.0f}" if abs(number) >= 100_000 else f"{number:.6g}"


def _places(prices: Iterable[Decimal]) -> int:
    """How many decimals show all of the prices: a tick's zeros at the end too, so that columns stand still."""
    return max((0, *(-int(price.normalize().as_tuple().exponent) for price in prices)))


def _bar_places(bars: Sequence[Document]) -> int:
    """Those, as far as the table has room: what a pool derives has nine."""
    prices = [Decimal(bar[name]) for bar in bars for name in _OHLC]
    whole = max(1, max(prices).adjusted() + 1)
    return max(0, min(_places(prices), _PRICE_DIGITS - whole))


def _markets(model: ViewModel) -> RenderableType:
    table = Table(expand=True, box=None)
    for name in ("market", "bid", "ask", "spread bp", "book"):
        table.add_column(name, justify="left" if name == "market" else "right", no_wrap=True)
    for quote in model.quotes:
        mid = _mid(quote)
        sides = quote["bid_price"], quote["ask_price"]
        places = _places(Decimal(side) for side in sides if side is not None)
        spread = "" if not mid else f"{(Decimal(quote['ask_price']) - Decimal(quote['bid_price'])) / mid * 10_000:.2f}"
        table.add_row(
            f"{quote['venue']} {quote['symbol']}",
            *("-" if side is None else f"{Decimal(side):.{places}f}" for side in sides),
            spread,
            quote["state"],
        )
    return Panel(table, title="Best bid and ask", border_style="blue")


def _flow(model: ViewModel, names: Collection[str] = ()) -> RenderableType:
    table = Table(expand=True, box=None)
    for name in ("", "a second", "in all"):
        table.add_column(name, justify="right" if name else "left")
    for name, total in model.totals.items():
        if names and name not in names:
            continue
        rate = model.rates.get(name)
        table.add_row(name, "" if rate is None else f"{rate:,.0f}", f"{total:,}")
    rejected = ", ".join(f"{reason} {count}" for reason, count in model.rejected.items()) or "none"
    latencies = [Text(f"{name} {value:,.1f}") for name, value in model.latency_ms.items()]
    rejects = Text(f"rejected: {rejected}", "yellow" if model.rejected else "dim")
    return Panel(
        Group(table, rejects, Columns([Text("latency p99 ms:"), *latencies], padding=(0, 2))),
        title="Flow",
        border_style="blue",
    )


def _component_line(model: ViewModel) -> RenderableType:
    """How many run, or which do not."""
    ended = [f"{row.name} {row.state}" for row in model.components if row.state != "running"]
    said = Text(", ".join(ended), "red") if ended else Text(f"{len(model.components)} running", "green")
    total = sum(row.rss_mb for row in model.components)
    return Panel(said, title=f"Components  {total:,.0f} MB", border_style="blue")


def _components(model: ViewModel) -> RenderableType:
    table = Table(expand=True, box=None)
    for name in ("component", "state", "MB", ""):
        table.add_column(name, justify="right" if name == "MB" else "left", no_wrap=True)
    for row in model.components:
        style = "green" if row.state in ("running", "healthy") else "red"
        table.add_row(row.name, Text(row.state, style), f"{row.rss_mb:.0f}", row.note)
    total = sum(row.rss_mb for row in model.components)
    return Panel(table, title=f"Components  {total:,.0f} MB", border_style="blue")
