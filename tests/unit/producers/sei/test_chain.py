"""The chain's source: block times joined by height, duplicates, failures, silence, gaps."""

from __future__ import annotations

import json
from typing import Any

import pytest

from producers.core import Effects
from schemas.enums import Flag, Side, TickKind
from schemas.reasons import DeadLetterReason

T0 = 1_700_000_000_000_000
S = 1_000_000


def trades(effects: Effects) -> list[Any]:
    return [tick for tick in effects.ticks if tick.kind is TickKind.TRADE]


def statuses(effects: Effects) -> list[Flag]:
    return [Flag(tick.flags) for tick in effects.ticks if tick.kind is TickKind.STATUS]


def heights(effects: Effects) -> list[str]:
    return [fetch.path for fetch in effects.fetch]


def test_it_subscribes_to_transactions_and_headers(chain: Any) -> None:
    """Two subscriptions, far below the five that a node allows."""
    source = chain()
    source.close(T0)
    sent = [json.loads(text) for text in source.open(T0 + S).send]
    assert [frame["params"]["query"] for frame in sent] == ["tm.event='Tx'", "tm.event='NewBlockHeader'"]
    assert all(frame["method"] == "subscribe" and isinstance(frame["id"], str) for frame in sent)


def test_a_trade_waits_for_the_time_of_its_block(chain: Any, node: Any) -> None:
    """A Tx frame has no time; the header of its height has."""
    source = chain()
    assert trades(source.receive(node.tx(7, 3, [("message", {"action": "x"}), node.swap()]), T0 + 1)) == []
    effects = source.receive(node.header(7, 4), T0 + 2)
    block, trade = effects.ticks
    assert (block.kind, block.symbol, block.block_height, block.ts_event) == (TickKind.BLOCK, "", 7, node.time(7))
    assert trade.trade_id == "7-3-1"
    assert (trade.block_height, trade.tx_index, trade.event_index) == (7, 3, 1)
    assert (trade.ts_event, trade.ts_recv) == (node.time(7), T0 + 1)
    assert (trade.venue, trade.symbol, trade.side, trade.price) == ("sei", "SEI/USDC", Side.BUY, 50_000_000)
    assert trade.first
    assert trade.last
    assert trade.tx_hash is not None


def test_a_trade_after_its_header_goes_out_at_once(chain: Any, node: Any) -> None:
    """Both orders occur: the subscriptions are independent. An absent index is 0."""
    source = chain()
    source.receive(node.header(7, 1), T0)
    (trade,) = trades(source.receive(node.tx(7, 0, [node.swap(), node.swap(return_amount="80000000")]), T0 + 1))[:1]
    assert trade.tx_index == 0
    assert not trade.last


def test_plain_attributes_give_the_same_trade(chain: Any, node: Any) -> None:
    """CometBFT from 0.37 on writes them plain."""
    source = chain()
    source.receive(node.header(7, 2), T0)
    encoded = trades(source.receive(node.tx(7, 0, [node.swap()]), T0))
    node.base64 = False
    plain = trades(source.receive(node.tx(7, 1, [node.swap()]), T0))
    assert [(t.price, t.size, t.base_amount) for t in encoded] == [(t.price, t.size, t.base_amount) for t in plain]


def test_a_trade_whose_header_never_comes_goes_out_without_a_time(chain: Any, node: Any) -> None:
    """After the join time-out, and counted."""
    source = chain(join_us=S)
    source.receive(node.tx(7, 0, [node.swap()]), T0)
    assert trades(source.tick(T0 + S)) == []
    (trade,) = trades(source.tick(T0 + S + 1))
    assert trade.ts_event is None
    assert source.counters["without_block_time"] == 1


def test_what_waits_is_bounded(chain: Any, node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that sends no headers cannot fill our memory."""
    monkeypatch.setattr("producers.sei.blocks._MAX_WAITING", 3)
    source = chain()
    for index in range(4):
        source.receive(node.tx(7, index, [node.swap()]), T0)
    assert len(trades(source.tick(T0 + 1))) == 4


def test_a_transaction_is_taken_once(chain: Any, node: Any) -> None:
    """The key is height, index and ordinal, whatever the frame's id."""
    source = chain()
    source.receive(node.header(7, 1), T0)
    assert len(trades(source.receive(node.tx(7, 1, [node.swap()]), T0))) == 1
    assert trades(source.receive(node.tx(7, 1, [node.swap()], frame_id="unknown"), T0)) == []
    assert source.counters["duplicate_transactions"] == 1
    assert trades(source.receive(node.tx(7, 2, [node.swap()], frame_id="unknown"), T0)) != []


def test_a_failed_transaction_makes_no_trade(chain: Any, node: Any) -> None:
    """Its log is the error's text; its events, should it have any, did not happen."""
    source = chain()
    source.receive(node.header(7, 2), T0)
    assert source.receive(node.tx(7, 0, [node.swap()], log="failed to execute message"), T0).ticks == []
    assert source.receive(node.tx(7, 1, [node.swap()], code=11), T0).ticks == []
    assert source.counters["failed_transactions"] == 2


def test_a_transaction_that_does_not_tell_is_confirmed_by_block_results(chain: Any, node: Any) -> None:
    """No code, no log, no message event: ask, and take it only when the block says that it succeeded."""
    source = chain()
    source.receive(node.header(7, 2), T0)
    for index in range(2):
        assert trades(source.receive(node.tx(7, index, [node.swap()], log=None), T0)) == []
    assert heights(source.tick(T0)) == ["block?height=7", "block_results?height=7"]
    source.fetched("block:7", node.block(7, 2), T0)
    results = [node.result([node.swap()]), node.result([node.swap()], code=5)]
    (trade,) = trades(source.fetched("block_results:7", node.block_results(7, results), T0))
    assert trade.trade_id == "7-0-0"
    assert Flag(trade.flags) == Flag.DERIVED | Flag.REPLAYED


def test_one_bad_event_does_not_concern_the_others(chain: Any, node: Any) -> None:
    """It is a dead letter; what no mapping is about is counted."""
    source = chain()
    source.receive(node.header(7, 1), T0)
    events = [node.swap(offer_amount="x"), node.swap(action="other"), node.swap()]
    effects = source.receive(node.tx(7, 0, events), T0)
    assert [bad.reason for bad in effects.bad] == [DeadLetterReason.MALFORMED]
    assert "7-0 event 0" in effects.bad[0].detail
    assert [trade.trade_id for trade in trades(effects)] == ["7-0-2"]
    assert source.counters["unmapped_events"] == 1


def test_the_wrong_chain_is_left_before_anything_is_written(chain: Any, node: Any) -> None:
    """A node of another network is not our venue."""
    source = chain(chain_id="pacific-1")
    source.receive(node.tx(7, 0, [node.swap()]), T0)
    effects = source.receive(node.header(7, 1, chain_id="atlantic-2"), T0)
    assert effects.ticks == []
    assert effects.reconnect is not None
    assert "atlantic-2" in effects.reconnect
    assert trades(source.tick(T0 + 60 * S)) == []


def test_heartbeats_carry_the_newest_block_time_less_the_lateness(chain: Any, node: Any) -> None:
    """Blocks alone advance the watermark, so a market without trades closes its bars."""
    source = chain(lateness_us=S)
    (first,) = source.tick(T0).ticks
    assert (first.kind, first.symbol, first.watermark) == (TickKind.HEARTBEAT, "", None)
    source.receive(node.header(7), T0 + S)
    assert source.tick(T0 + S // 2).ticks == []
    (beat,) = source.tick(T0 + S).ticks
    assert beat.watermark == node.time(7) - S


def test_a_skipped_height_is_filled_from_block_results(chain: Any, node: Any) -> None:
    """Time and hashes from `block`, events from `block_results`; flagged REPLAYED; the watermark waits for it."""
    source = chain(lateness_us=0)
    source.receive(node.header(7), T0)
    effects = source.receive(node.header(9), T0)
    assert heights(effects) == ["block?height=8", "block_results?height=8"]
    assert source.tick(T0).ticks[-1].watermark == node.time(7)
    results = [node.result([]), node.result([node.swap()], log="[]")]
    assert source.fetched("block_results:8", node.block_results(8, results), T0).ticks == []
    block, trade = source.fetched("block:8", node.block(8, 2), T0).ticks
    assert (block.kind, block.block_height, block.ts_event) == (TickKind.BLOCK, 8, node.time(8))
    assert (trade.trade_id, trade.ts_event) == ("8-1-0", node.time(8))
    assert Flag(trade.flags) & Flag.REPLAYED
    assert trade.tx_hash is not None
    assert source.tick(T0 + S).ticks[-1].watermark == node.time(9)


def test_a_transaction_that_the_header_counts_and_the_stream_lacks_is_filled(chain: Any, node: Any) -> None:
    """A node drops frames of a slow client without a word; `num_txs` shows it."""
    source = chain(join_us=S)
    source.receive(node.header(7, 2), T0)
    assert len(trades(source.receive(node.tx(7, 1, [node.swap()]), T0))) == 1
    assert source.tick(T0 + S).fetch == []
    assert heights(source.tick(T0 + S + 1)) == ["block?height=7", "block_results?height=7"]
    source.fetched("block:7", node.block(7, 2), T0)
    results = [node.result([node.swap()]), node.result([node.swap()])]
    effects = source.fetched("block_results:7", node.block_results(7, results), T0)
    assert [trade.trade_id for trade in trades(effects)] == ["7-0-0"]
    assert source.tick(T0 + 10 * S).fetch == []


def test_a_gap_after_a_reconnect_is_filled_up_to_the_first_new_block(chain: Any, node: Any) -> None:
    """Also what waited for its block when the connection was lost."""
    source = chain(join_us=S)
    source.receive(node.header(7, 0), T0)
    source.receive(node.tx(8, 0, [node.swap()]), T0)
    assert source.close(T0).ticks == []
    assert statuses(source.open(T0 + S)) == []
    for frame_id in ("tx", "header"):
        source.receive(node.ack(frame_id), T0 + S)
    effects = source.receive(node.header(10, 0), T0 + S)
    assert heights(effects)[1::2] == ["block_results?height=8", "block_results?height=9"]
    source.fetched("block:8", node.block(8, 1), T0 + S)
    effects = source.fetched("block_results:8", node.block_results(8, [node.result([node.swap()])]), T0 + S)
    (trade,) = trades(effects)
    assert (trade.ts_event, trade.session) == (node.time(8), T0 + S)


def test_a_gap_that_cannot_be_filled_is_said(chain: Any, node: Any) -> None:
    """After three attempts the markets are GAPPED, and the watermark goes on."""
    source = chain(lateness_us=0)
    source.receive(node.header(7), T0)
    effects = source.receive(node.header(9), T0)
    now = T0
    for _ in range(3):
        assert len(effects.fetch) == 2
        assert source.fetched("block:8", None, now).ticks == []
        last = source.fetched("block_results:8", node.error(None, "height is not available").encode(), now)
        now += 5 * S
        effects = source.tick(now)
    assert statuses(last) == [Flag.GAPPED]
    assert effects.fetch == []
    assert source.tick(now + S).ticks[-1].watermark == node.time(9)
    assert source.counters["fill_failures"] == 1


def test_results_without_a_block_give_trades_without_a_time(chain: Any, node: Any) -> None:
    """A node that has the one and not the other is asked again, then taken at its word."""
    source = chain()
    source.receive(node.header(7), T0)
    effects = source.receive(node.header(9), T0)
    for attempt in range(3):
        assert len(effects.fetch) == 2
        now = T0 + attempt * 5 * S
        source.fetched("block:8", None, now)
        last = source.fetched("block_results:8", node.block_results(8, [node.result([node.swap()])]), now)
        effects = source.tick(now + 5 * S)
    (trade,) = trades(last)
    assert trade.ts_event is None


def test_empty_results_of_a_block_with_transactions_are_no_answer(chain: Any, node: Any) -> None:
    """Some consensus modes answer with none; that is a gap, not a quiet block."""
    source = chain()
    source.receive(node.header(7), T0)
    source.receive(node.header(9), T0)
    source.fetched("block:8", node.block(8, 2), T0)
    assert statuses(source.fetched("block_results:8", node.block_results(8, None), T0)) == [Flag.GAPPED]


def test_a_gap_too_long_to_fill_is_filled_at_its_end_and_said(chain: Any, node: Any) -> None:
    """The number of heights asked for is bounded."""
    source = chain(max_fill=2)
    source.receive(node.header(7), T0)
    effects = source.receive(node.header(100), T0)
    assert statuses(effects) == [Flag.GAPPED]
    assert heights(effects)[1::2] == ["block_results?height=98", "block_results?height=99"]


def test_a_chain_that_starts_anew_is_followed(chain: Any, node: Any) -> None:
    """A lower height far away is another history."""
    source = chain()
    source.receive(node.header(10_000), T0)
    assert statuses(source.receive(node.header(1), T0)) == [Flag.GAPPED]
    assert source.receive(node.header(2), T0).fetch == []


def test_an_eviction_resubscribes_that_one_and_fills_what_it_missed(chain: Any, node: Any) -> None:
    """The socket stays open: only the error frame says that the feed has stopped."""
    source = chain(join_us=S)
    source.receive(node.header(7, 0), T0)
    effects = source.receive(node.error("tx", "subscription terminated by publisher"), T0)
    assert [json.loads(text)["id"] for text in effects.send] == ["tx"]
    assert effects.reconnect is None
    source.receive(node.header(8, 1), T0)
    source.receive(node.ack("tx"), T0 + 1)
    assert heights(source.tick(T0 + 2 * S)) == ["block?height=8", "block_results?height=8"]


def test_without_counts_blocks_of_an_interruption_are_filled_in_doubt(chain: Any, node: Any) -> None:
    """Where the header does not say how many transactions there were, all heights meanwhile are asked for."""
    source = chain(join_us=S)
    source.receive(node.header(7, None), T0)
    source.tick(T0 + 2 * S)
    effects = source.receive(node.error("tx", "subscription terminated by publisher"), T0 + 2 * S)
    assert statuses(effects) == [Flag.GAPPED]
    source.receive(node.header(8, None), T0 + 2 * S)
    source.receive(node.ack("tx"), T0 + 2 * S)
    source.receive(node.header(9, None), T0 + 2 * S)
    wanted = heights(source.tick(T0 + 4 * S))
    assert "block_results?height=8" in wanted
    assert "block_results?height=9" not in wanted


def test_a_silent_header_subscription_is_stale_probed_and_then_left(chain: Any, node: Any) -> None:
    """Transactions that still flow do not hide it."""
    source = chain(stale_us=10 * S)
    source.receive(node.header(7), T0)
    for second in range(1, 11):
        source.receive(node.tx(7, second, []), T0 + second * S)
        assert source.tick(T0 + second * S).send == []
    stale = source.tick(T0 + 11 * S)
    assert statuses(stale) == [Flag.STALE]
    assert [json.loads(text)["id"] for text in stale.send] == ["header"]
    assert source.receive(node.error("header", "already subscribed"), T0 + 12 * S).reconnect is None
    assert source.tick(T0 + 22 * S).reconnect is None
    assert source.tick(T0 + 23 * S).reconnect == "subscription header is silent"


def test_a_subscription_that_speaks_again_is_synchronising(chain: Any, node: Any) -> None:
    """STALE ends with a STATUS without flags."""
    source = chain(stale_us=10 * S)
    source.tick(T0 + 11 * S)
    effects = source.receive(node.header(7), T0 + 12 * S)
    assert statuses(effects) == [Flag.NONE]


def test_quiet_transactions_are_no_silence_unless_the_headers_count_some(chain: Any, node: Any) -> None:
    """A chain without transactions is quiet; one whose blocks are not empty owes them."""
    source = chain(stale_us=10 * S, join_us=S)
    for second in range(30):
        source.receive(node.header(7 + second, 0), T0 + second * S)
        assert statuses(source.tick(T0 + second * S)) == []
    found = []
    for second in range(30, 60):
        source.receive(node.header(7 + second, 5), T0 + second * S)
        found += statuses(source.tick(T0 + second * S))
    assert Flag.STALE in found


def test_a_full_node_is_left_for_another(chain: Any, node: Any) -> None:
    """The limit of 100 clients is the node's, and our turn may not come."""
    source = chain()
    source.close(T0)
    source.open(T0 + S)
    effects = source.receive(node.error("tx", "max_subscription_clients 100 reached"), T0 + S)
    assert effects.reconnect is not None
    assert "max_subscription_clients" in effects.reconnect


def test_a_refused_subscription_is_tried_again_before_the_node_is_left(chain: Any, node: Any) -> None:
    """Three refusals are enough."""
    source = chain()
    source.close(T0)
    source.open(T0)
    source.receive(node.ack("header"), T0)
    now = T0
    for _ in range(2):
        assert source.receive(node.error("tx", "timed out"), now).reconnect is None
        source.receive(node.header(7 + now % 97), now)
        now += 6 * S
        assert [json.loads(text)["id"] for text in source.tick(now).send] == ["tx"]
    assert source.receive(node.error("tx", "timed out"), now).reconnect is not None


def test_no_answer_to_a_subscribe_ends_the_connection(chain: Any, node: Any) -> None:
    """A node that reads and says nothing is not one."""
    source = chain()
    source.close(T0)
    source.open(T0)
    assert source.tick(T0 + 10 * S).reconnect is None
    assert source.tick(T0 + 11 * S).reconnect is not None


def test_already_subscribed_is_an_ack(chain: Any, node: Any) -> None:
    """The node has the subscription: that is what was asked for."""
    source = chain()
    source.close(T0)
    source.open(T0)
    for frame_id in ("tx", "header"):
        effects = source.receive(node.error(frame_id, "already subscribed"), T0)
        assert (effects.send, effects.reconnect) == ([], None)
    assert source.tick(T0 + 9 * S).reconnect is None


def test_every_recorded_frame_passes_without_a_dead_letter(chain: Any, tendermint_frames: dict[str, bytes]) -> None:
    """Frames of 0.34 and 0.38 nodes, with ids that are not ours."""
    source = chain()
    for raw in tendermint_frames.values():
        assert source.receive(raw, T0).bad == []


def test_the_recorded_sei_block_fills_a_gap(chain: Any, node: Any, sei_block: bytes) -> None:
    """Real `block_results` of pacific-1: two failures, no swaps, nothing wrong."""
    source = chain()
    source.receive(node.header(54_810_789), T0)
    source.receive(node.header(54_810_791), T0)
    source.fetched("block:54810790", node.block(54_810_790, 28), T0)
    effects = source.fetched("block_results:54810790", sei_block, T0)
    assert effects.bad == []
    assert source.counters["failed_transactions"] == 2
    assert source.counters["filled_blocks"] == 1


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("{", DeadLetterReason.MALFORMED),
        (b"\xff\xfe", DeadLetterReason.MALFORMED),
        ('{"id":1,"result":7}', DeadLetterReason.UNKNOWN_MESSAGE),
        ('{"id":1,"result":{"data":{"type":"tendermint/event/Vote"}}}', DeadLetterReason.UNKNOWN_MESSAGE),
        ('{"id":"tx","result":{"data":{"type":"tendermint/event/Tx","value":{}}}}', DeadLetterReason.MALFORMED),
        ("[" * 100_000, DeadLetterReason.MALFORMED),
    ],
)
def test_a_bad_frame_is_a_dead_letter(chain: Any, frame: str | bytes, reason: DeadLetterReason) -> None:
    """With its bytes and the reason; the source goes on."""
    effects = chain().receive(frame, T0)
    assert [bad.reason for bad in effects.bad] == [reason]
    assert effects.ticks == []
