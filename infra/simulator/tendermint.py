"""The chain's side of the simulated node: Tendermint RPC in the dialect of Sei's fork, without I/O.

Behaviour follows sei-tendermint: rpc/jsonrpc/server/ws_handler.go (reading), internal/rpc/core/events.go (subscribing),
internal/pubsub/pubsub.go (eviction). Frames are in `infra.simulator.chain_frames`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial

from infra.simulator import chain_frames as frames
from infra.simulator import rpc
from infra.simulator.chain import Block
from infra.simulator.faults import Fault, FaultKind
from infra.simulator.hub import ClientId, Hub, RequestId, Subscription
from infra.simulator.query import Query, QueryError
from infra.simulator.rpc import Code, Request, RPCError

__all__ = [
    "MAX_QUERY_LENGTH",
    "MAX_SUBSCRIPTIONS_PER_CLIENT",
    "MAX_SUBSCRIPTION_CLIENTS",
    "QUEUE_LIMIT",
    "TendermintNode",
]

MAX_SUBSCRIPTION_CLIENTS = 100
MAX_SUBSCRIPTIONS_PER_CLIENT = 5
MAX_QUERY_LENGTH = 512
QUEUE_LIMIT = 100
_URI_ID = -1
_WEBSOCKET_ONLY = frozenset({"subscribe", "unsubscribe", "unsubscribe_all"})


class TendermintNode:
    """What the node answers and publishes. The shell carries frames to and from sockets.

    Args:
        chain_id: What headers and `status` say.
        keep_blocks: How many of the last blocks `block_results` still has.
    """

    def __init__(self, chain_id: str, *, keep_blocks: int = 300) -> None:
        self.chain_id = chain_id
        self.hub = Hub(QUEUE_LIMIT, _terminated)
        self._keep_blocks = keep_blocks
        self._blocks: OrderedDict[int, Block] = OrderedDict()
        self._skip_heights = 0
        self._methods: dict[str, Callable[[ClientId | None, Request], object]] = {
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "unsubscribe_all": self._unsubscribe_all,
            "block": self._block,
            "block_results": self._block_results,
            "status": self._status,
            "health": lambda client, request: {},
        }

    def receive(self, client: ClientId, text: str | bytes) -> bool:
        """Take one message of a client; False where the client must be dropped because it reads no answers."""
        try:
            request = rpc.parse_request(text)
        except RPCError as problem:
            return self.hub.reply(client, rpc.error(None, problem))
        if request.id is None:
            return True
        return self.hub.reply(client, self._call(client, request, request.id))

    def get(self, method: str, query: Mapping[str, str]) -> str | None:
        """Answer a GET request for `/method?query`; None where the node has no such path."""
        if method not in self._methods or method in _WEBSOCKET_ONLY:
            return None
        params = {name: value.strip('"') for name, value in query.items()}
        return self._call(None, Request(_URI_ID, method, params), _URI_ID)

    def publish(self, block: Block, now_us: int) -> None:
        """Commit a block: NewBlock, NewBlockHeader, then each Tx, as the node's state executor fires them."""
        self._blocks[block.height] = block
        while len(self._blocks) > self._keep_blocks:
            self._blocks.popitem(last=False)
        for kind, write in (("NewBlock", frames.new_block), ("NewBlockHeader", frames.new_block_header)):
            self._fire(frames.block_events(block, kind), kind, partial(write, block, self.chain_id), now_us)
        if self._skip_heights:
            self._skip_heights -= 1
            return
        for transaction in block.transactions:
            events = frames.transaction_events(block, transaction)
            self._fire(events, "Tx", partial(frames.transaction, block, transaction), now_us)

    def apply(self, fault: Fault, now_us: int) -> list[ClientId]:
        """Misbehave; give the clients whose sockets are to be cut."""
        if fault.kind is FaultKind.GAP:
            self._skip_heights = fault.count
        elif fault.kind is FaultKind.HEAL:
            self._skip_heights = 0
        return self.hub.apply(fault, now_us)

    def _fire(self, events: dict[str, list[str]], kind: str, value: Callable[[], object], now_us: int) -> None:
        # The same for every subscriber but for id and query, so the long part is written once, and only if needed.
        tail: list[str] = []

        def frame(subscription: Subscription) -> str:
            if not tail:
                data = {"type": f"tendermint/event/{kind}", "value": value()}
                tail.append(f'"data":{rpc.dumps(data)},"events":{rpc.dumps(dict(sorted(events.items())))}}}}}')
            head = f'{{"jsonrpc":"2.0","id":{rpc.dumps(subscription.id)},"result":{{"subscription_id":"",'
            return f'{head}"query":{rpc.dumps(subscription.raw)},{tail[0]}'

        self.hub.publish(events, frame, now_us)

    def _call(self, client: ClientId | None, request: Request, request_id: RequestId) -> str:
        method = self._methods.get(request.method)
        try:
            if method is None:
                raise RPCError(Code.METHOD_NOT_FOUND, request.method)
            return rpc.result(request_id, method(client, request))
        except RPCError as problem:
            return rpc.error(request_id, problem)

    def _subscribe(self, client: ClientId | None, request: Request) -> object:
        assert client is not None
        assert request.id is not None
        raw = _query_of(request)
        subscriptions = self.hub.subscriptions(client)
        if self.hub.subscribers >= MAX_SUBSCRIPTION_CLIENTS:
            raise RPCError(Code.INTERNAL_ERROR, f"max_subscription_clients {MAX_SUBSCRIPTION_CLIENTS} reached")
        if len(subscriptions) >= MAX_SUBSCRIPTIONS_PER_CLIENT:
            raise RPCError(Code.INTERNAL_ERROR, f"max_subscriptions_per_client {MAX_SUBSCRIPTIONS_PER_CLIENT} reached")
        if len(raw.encode(errors="replace")) > MAX_QUERY_LENGTH:
            raise RPCError(Code.INTERNAL_ERROR, "maximum query length exceeded")
        try:
            query = Query.parse(raw)
        except QueryError as problem:
            raise RPCError(Code.INTERNAL_ERROR, f"failed to parse query: {problem}") from None
        if str(query) in subscriptions:
            raise RPCError(Code.INTERNAL_ERROR, "already subscribed")
        self.hub.subscribe(client, request.id, query, raw)
        return {}

    def _unsubscribe(self, client: ClientId | None, request: Request) -> object:
        assert client is not None
        try:
            query = str(Query.parse(_query_of(request)))
        except QueryError:
            # The node then takes the text for a subscription's id, finds none, and removes all of the client's.
            query = None
        if not self.hub.unsubscribe(client, query):
            raise RPCError(Code.INTERNAL_ERROR, "subscription not found")
        return {}

    def _unsubscribe_all(self, client: ClientId | None, request: Request) -> object:
        assert client is not None
        if not self.hub.unsubscribe(client, None):
            raise RPCError(Code.INTERNAL_ERROR, "subscription not found")
        return {}

    def _block(self, client: ClientId | None, request: Request) -> object:
        return frames.block_result(self._committed(request), self.chain_id)

    def _block_results(self, client: ClientId | None, request: Request) -> object:
        return frames.block_results(self._committed(request))

    def _committed(self, request: Request) -> Block:
        head = next(reversed(self._blocks), 0)
        height = _height_of(request, head)
        if height <= 0:
            detail = f"height must be greater than zero (requested height: {height})"
            raise RPCError(Code.INVALID_REQUEST, detail)
        if height > head:
            detail = "height must be less than or equal to the head of the node's blockchain"
            raise RPCError(Code.INTERNAL_ERROR, f"{detail} (requested height: {height}, blockchain height: {head})")
        base = next(iter(self._blocks))
        if height < base:
            detail = f"height is not available (requested height: {height}, base height: {base})"
            raise RPCError(Code.INTERNAL_ERROR, detail)
        return self._blocks[height]

    def _status(self, client: ClientId | None, request: Request) -> object:
        first, last = (next(order, None) for order in (iter(self._blocks.values()), reversed(self._blocks.values())))
        return frames.status(self.chain_id, first, last)


def _terminated(request_id: RequestId) -> str:
    return rpc.error(request_id, RPCError(Code.INTERNAL_ERROR, "subscription terminated by publisher"))


def _query_of(request: Request) -> str:
    query = rpc.params_of(request, "query").get("query", "")
    if not isinstance(query, str):
        raise RPCError(Code.INVALID_PARAMS, "query must be a string")
    return query


def _height_of(request: Request, head: int) -> int:
    """Read a height, a number or its text; without one it is the head's."""
    height = rpc.params_of(request, "height").get("height") if request.params != "" else None
    if height is None:
        return head
    text = str(height)
    if isinstance(height, bool) or len(text) > 20 or not text.lstrip("-").isdecimal():
        raise RPCError(Code.INVALID_PARAMS, f"invalid height {text[:64]!r}")
    return int(text)
