"""The chain's events as a source: Tx and NewBlockHeader subscriptions of a Tendermint node.

A transaction's frame has no time: its ticks wait for the header of its height. What the stream missed is found by
height (a header that skips some) and by count (`num_txs` of the header against the transactions seen), and is filled
from `block_results`; such ticks are flagged REPLAYED. What cannot be filled makes the markets GAPPED.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from producers.core import Effects
from producers.numbering import HeartbeatClock, TickFactory, TickFields
from producers.sei.blocks import Block, BlockWindow, Waiting
from producers.sei.gaps import Filled, GapFiller
from producers.sei.jsonrpc import Ack, Result, RpcError, parse_frame
from producers.sei.mapping import EventMapping
from producers.sei.subscriptions import Judgement, Subscription, Subscriptions
from producers.sei.tendermint import (
    Header,
    Outcome,
    Transaction,
    decode_event,
    encoding_by_keys,
    parse_header,
    parse_transaction,
)
from producers.wire import bad_frame
from schemas.enums import Flag, TickKind
from schemas.errors import ContractError, ProtocolError
from schemas.reasons import DeadLetterReason
from schemas.wire import parse_json

__all__ = ["SeiChainSource"]

_WINDOW = 256


class SeiChainSource:
    """A node's transactions as trades, its headers as blocks.

    Args:
        venue: Venue of the ticks and name of the source: `sei`, or `sim-sei` for a simulated node.
        mapping: Which events make ticks, and of which markets.
        chain_id: Chain that the node must serve; None to take any.
        lateness_us: How far the watermark stays behind the newest block's time.
        stale_us: Silence after which a subscription is stale.
        join_us: How long a transaction waits for its block's time before it goes without one.
        max_fill: Most heights that are filled after a gap.
    """

    def __init__(
        self,
        *,
        venue: str,
        mapping: EventMapping,
        chain_id: str | None = None,
        lateness_us: int = 1_000_000,
        heartbeat_us: int = 1_000_000,
        stale_us: int = 10_000_000,
        join_us: int = 2_000_000,
        max_fill: int = 100,
    ) -> None:
        self.name = venue
        self.symbols: Sequence[tuple[str, str]] = tuple((venue, symbol) for symbol in mapping.symbols)
        self._mapping = mapping
        self._chain_id = chain_id
        self._max_fill = max_fill
        self._factory = TickFactory(venue, venue)
        self._heartbeat = HeartbeatClock(lateness_us, heartbeat_us)
        self._transactions = Subscription("tx", "tm.event='Tx'", is_quiet=True)
        self._headers = Subscription("header", "tm.event='NewBlockHeader'")
        self._subscriptions = Subscriptions(
            (self._transactions, self._headers), stale_us=stale_us, quiet_us=6 * stale_us
        )
        self._blocks = BlockWindow(size=_WINDOW, join_us=join_us)
        self._gaps = GapFiller(max_fill)
        self._top: Header | None = None
        self._is_open = False
        self._is_resuming = False
        self._counters: Counter[str] = Counter()

    @property
    def counters(self) -> Mapping[str, int]:
        """What was left out on purpose, and what was filled."""
        return self._counters

    def open(self, now_us: int) -> Effects:
        """Subscribe. What the chain did before the first session is not known, so it starts GAPPED."""
        self._factory.open(now_us)
        self._is_open = self._is_resuming = True
        effects = Effects(send=self._subscriptions.open(now_us))
        if self._top is None:
            self._status(Flag.GAPPED, now_us, effects)
        return effects

    def close(self, now_us: int) -> Effects:
        """End the session. No STATUS: there is no book, and the next session fills the gap or says GAPPED."""
        self._is_open = False
        self._gaps.interrupt()
        self._blocks.doubt()
        return Effects()

    def receive(self, frame: str | bytes, now_us: int) -> Effects:
        """Take one frame of the node."""
        effects = Effects()
        try:
            parsed = parse_frame(parse_json(frame))
            if isinstance(parsed, Result):
                self._result(parsed, frame, now_us, effects)
            else:
                self._answer(parsed, now_us, effects)
        except ContractError as error:
            effects.bad.append(bad_frame(error, frame))
        return effects

    def fetched(self, tag: str, body: bytes | None, now_us: int) -> Effects:
        """Take an answer about a missing height."""
        effects = Effects()
        filled = self._gaps.answered(tag, body, now_us)
        if filled is not None:
            self._fill(filled, now_us, effects)
            self._observe(now_us)
        effects.fetch = self._gaps.fetches(now_us)
        return effects

    def tick(self, now_us: int) -> Effects:
        """Judge silence, let go what waited too long, look for missing transactions, beat."""
        effects = Effects()
        if not self._is_open:
            return effects
        for block in self._blocks.overdue(now_us):
            if not self._gaps.wants(block.height):
                self._counters["without_block_time"] += len(block.waiting)
                self._release(block, effects)
        for block in list(self._blocks.unsettled(now_us)):
            if block.is_incomplete:
                self._transactions.is_owed = self._transactions.is_owed or not block.seen
                self._want(range(block.height, block.height + 1), now_us, effects)
        self._judge(self._subscriptions.check(now_us), now_us, effects)
        effects.fetch += self._gaps.fetches(now_us)
        self._observe(now_us)
        effects.ticks += self._heartbeat.beat(now_us, self._factory)
        return effects

    def _answer(self, frame: Ack | RpcError, now_us: int, effects: Effects) -> None:
        judgement = self._subscriptions.answered(frame, now_us)
        if judgement is None:
            self._counters["answers_unasked"] += 1
        else:
            self._judge(judgement, now_us, effects)

    def _judge(self, judgement: Judgement, now_us: int, effects: Effects) -> None:
        effects.send += judgement.send
        effects.reconnect = effects.reconnect or judgement.reconnect
        self._counters["subscriptions_lost"] += len(judgement.lost)
        if judgement.stale:
            self._status(Flag.STALE, now_us, effects)
        if self._transactions in judgement.lost:
            self._blocks.doubt()
            if self._top is not None and self._top.num_txs is None:
                # Without counts, what earlier blocks lost meanwhile cannot be found.
                self._status(Flag.GAPPED, now_us, effects)

    def _result(self, result: Result, raw: str | bytes, now_us: int, effects: Effects) -> None:
        data = result.body.get("data")
        if not isinstance(data, dict) or "type" not in data:
            self._counters["answers_unasked"] += 1
            return
        match data["type"]:
            case "tendermint/event/Tx":
                transaction = parse_transaction(data.get("value"), result.body.get("events"))
                self._transaction(transaction, raw, now_us, effects)
            case "tendermint/event/NewBlockHeader" | "tendermint/event/NewBlock":
                self._header(parse_header(data.get("value")), now_us, effects)
            case other:
                raise ProtocolError(DeadLetterReason.UNKNOWN_MESSAGE, f"event of type {str(other)[:64]!r}")
        subscription = self._subscriptions.find(result.id, result.query)
        if subscription is not None and self._subscriptions.heard(subscription, now_us):
            self._status(Flag.NONE, now_us, effects)

    def _header(self, header: Header, now_us: int, effects: Effects) -> None:
        if not self._serves_chain(header):
            self._blocks.clear()
            effects.reconnect = f"the node serves chain {header.chain_id}, not {self._chain_id}"
            return
        top = self._top
        if top is not None and header.height < top.height - _WINDOW:
            self._blocks.clear()
            self._gaps.clear()
            self._status(Flag.GAPPED, now_us, effects)
            self._top = top = None
        block = self._blocks.get(header.height, now_us)
        if block.time_us is not None:
            self._counters["duplicate_headers"] += 1
            return
        if top is not None and header.height > top.height + 1:
            self._want(range(top.height + 1, header.height), now_us, effects)
        block.is_doubtful = self._is_resuming or not self._transactions.is_active
        self._is_resuming = False
        self._block(block, header, now_us, Flag.NONE, effects)
        if top is None or header.height > top.height:
            self._top = header
        self._release(block, effects)
        for dropped in self._blocks.trim():
            self._release(dropped, effects)
        self._observe(now_us)
        effects.fetch += self._gaps.fetches(now_us)

    def _transaction(self, transaction: Transaction, raw: str | bytes, now_us: int, effects: Effects) -> None:
        block = self._blocks.get(transaction.height, now_us)
        if transaction.index in block.seen:
            self._counters["duplicate_transactions"] += 1
            return
        fields = self._fields(transaction, raw, effects)
        if transaction.outcome is Outcome.UNKNOWN and fields:
            self._counters["unconfirmed_transactions"] += 1
            self._want(range(block.height, block.height + 1), now_us, effects)
            return
        block.seen.add(transaction.index)
        if not fields:
            return
        self._blocks.wait(block, Waiting(transaction.index, tuple(fields), now_us))
        if block.time_us is not None:
            self._release(block, effects)

    def _fields(self, transaction: Transaction, raw: str | bytes, effects: Effects) -> list[TickFields]:
        """Make the ticks of a transaction's events; what is wrong with one does not concern the others."""
        if transaction.outcome is Outcome.FAILED:
            self._counters["failed_transactions"] += 1
            return []
        made = []
        for ordinal, event in enumerate(transaction.events):
            keys = self._mapping.keys(event.type)
            encoding = (transaction.encoding or encoding_by_keys(event, keys)) if keys else None
            try:
                fields = self._mapping.fields(decode_event(event, encoding)) if encoding else None
            except ContractError as error:
                where = f"transaction {transaction.height}-{transaction.index} event {ordinal}"
                effects.bad.append(bad_frame(error, raw, where))
                continue
            if fields is None:
                self._counters["unmapped_events"] += 1
                continue
            made.append(
                fields
                | TickFields(
                    symbol=fields["symbol"],
                    kind=fields["kind"],
                    trade_id=f"{transaction.height}-{transaction.index}-{ordinal}",
                    tx_hash=transaction.tx_hash,
                    block_height=transaction.height,
                    tx_index=transaction.index,
                    event_index=ordinal,
                )
            )
        return made

    def _fill(self, filled: Filled, now_us: int, effects: Effects) -> None:
        block = self._blocks.get(filled.height, now_us)
        header = filled.header
        if header is not None and self._serves_chain(header) and block.time_us is None:
            self._block(block, header, now_us, Flag.REPLAYED, effects)
        block.is_settled = True
        self._release(block, effects)
        transactions = filled.transactions
        if transactions is None or len(transactions) < (block.num_txs or 0):
            self._counters["fill_failures"] += 1
            self._status(Flag.GAPPED, now_us, effects)
            return
        self._counters["filled_blocks"] += 1
        for transaction, tx_hash in zip(transactions, _padded(filled.hashes, len(transactions)), strict=True):
            if transaction.index in block.seen:
                continue
            block.seen.add(transaction.index)
            origin = f"block_results {filled.height}"
            fields = self._fields(replace(transaction, tx_hash=tx_hash), origin, effects)
            self._emit(fields, block, now_us, Flag.REPLAYED, effects)

    def _block(self, block: Block, header: Header, now_us: int, flags: Flag, effects: Effects) -> None:
        block.time_us, block.num_txs = header.time_us, header.num_txs
        fields = TickFields(
            symbol="",
            kind=TickKind.BLOCK,
            ts_event=header.time_us,
            block_height=header.height,
            flags=int(flags),
        )
        effects.ticks += self._factory.message(now_us, [fields])

    def _release(self, block: Block, effects: Effects) -> None:
        for waiting in self._blocks.release(block):
            self._emit(waiting.fields, block, waiting.received_us, Flag.NONE, effects)

    def _emit(
        self, fields: Sequence[TickFields], block: Block, received_us: int, flags: Flag, effects: Effects
    ) -> None:
        parts: list[TickFields] = [
            {**part, "ts_event": block.time_us, "flags": part.get("flags", 0) | int(flags)} for part in fields
        ]
        effects.ticks += self._factory.message(received_us, parts)

    def _want(self, heights: range, now_us: int, effects: Effects) -> None:
        """Ask for missing heights, the newest if there are too many."""
        self._counters["missing_blocks"] += len(heights)
        if not self._gaps.want(heights[-self._max_fill :]) or len(heights) > self._max_fill:
            self._status(Flag.GAPPED, now_us, effects)

    def _observe(self, now_us: int) -> None:
        """Advance the watermark, but not past a height that is still being filled."""
        lowest = self._gaps.lowest
        if lowest is not None:
            self._heartbeat.observe(self._blocks.time_below(lowest), now_us)
        elif self._top is not None:
            self._heartbeat.observe(self._top.time_us, now_us)

    def _serves_chain(self, header: Header) -> bool:
        return self._chain_id is None or header.chain_id is None or header.chain_id == self._chain_id

    def _status(self, flags: Flag, now_us: int, effects: Effects) -> None:
        for _, symbol in self.symbols:
            effects.ticks += self._factory.status(now_us, symbol, flags)


def _padded(hashes: tuple[Any, ...], count: int) -> tuple[str | None, ...]:
    return (*hashes[:count], *(None,) * (count - len(hashes)))
