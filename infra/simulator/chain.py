"""A simulated chain: blocks of transactions that swap in a pool, vote, send, or fail."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from infra.simulator.pool import Pool, Swap
from infra.simulator.price import FairPrice

__all__ = ["BASE_DENOM", "POOL_CONTRACT", "QUOTE_DENOM", "Block", "Chain", "Event", "Transaction"]

BASE_DENOM = "usei"
QUOTE_DENOM = "uusdc"
POOL_CONTRACT = "sei1sxmulatedp00lsxmulatedp00lsxmulatedp00lsxmulatedp00lsxmula"
"""Address of the simulated SEI/USDC pool; not a valid bech32 checksum, so no real contract has it."""

Event = tuple[str, tuple[tuple[str, str], ...]]
"""(type, ((key, value), ...)): an ABCI event in plain text."""

_BLOCK_US = 400_000
_FIRST_HEIGHT = 100_000_000
# Heights of a later start are greater, as on one chain: blocks come more slowly than this.
_HEIGHT_US = 350_000
# A block must fit the queue of a subscription, which a whole block fills at once.
_MAX_SWAPS_PER_BLOCK = 60
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_MICRO = 1_000_000
_VALIDATORS = 8


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction and its result. `code` is 0 for success; `log` is then the events as JSON, else the error."""

    index: int
    tx: bytes
    code: int
    codespace: str
    data: bytes
    log: str
    gas_wanted: int
    gas_used: int
    events: tuple[Event, ...]

    @property
    def hash(self) -> str:
        """The upper-case hexadecimal SHA-256 of the transaction."""
        return hashlib.sha256(self.tx).hexdigest().upper()


@dataclass(frozen=True, slots=True)
class Block:
    """A committed block. `time_ns` is the header's time, nanoseconds UTC; `events` are those of the block itself."""

    height: int
    time_ns: int
    hash: str
    previous_hash: str
    proposer: str
    transactions: tuple[Transaction, ...]
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class ChainModel:
    """Parameters of the chain's traffic at rate 1: probabilities are per block, or per swap where said."""

    swaps_per_s: float = 1.5
    median_swap: float = 900.0
    arbitrage_margin_bp: float = 4.0
    two_swaps: float = 0.1
    slippage_failure: float = 0.05
    vote: float = 0.5
    transfer: float = 0.3
    sequence_failure: float = 0.08


class Chain:
    """The chain's state: a pool of usei and uusdc, and the hash of the last block."""

    def __init__(self, fair: FairPrice, rng: Random, *, rate: float, start_us: int) -> None:
        self.model = ChainModel()
        self._fair = fair
        self._rng = rng
        self._rate = rate
        base = 3_000_000 * _MICRO
        self.pool = Pool(BASE_DENOM, QUOTE_DENOM, base, int(base * fair.value))
        self._height = _FIRST_HEIGHT + rng.randrange(1_000_000) + start_us // _HEIGHT_US
        self._hash = _digest("genesis", str(self._height))
        self._validators = tuple(_digest("validator", str(n))[:40] for n in range(_VALIDATORS))
        self._time_us = start_us
        self._next_us = start_us + _BLOCK_US

    def step(self, end_us: int) -> Iterator[Block]:
        """Commit the block that is due by the end of a step, if any."""
        if self._next_us > end_us:
            return
        yield self._commit(self._next_us)
        self._time_us = self._next_us
        self._next_us += round(min(600_000.0, max(250_000.0, self._rng.gauss(_BLOCK_US, 25_000))))

    def _commit(self, time_us: int) -> Block:
        self._height += 1
        previous, self._hash = self._hash, _digest(self._hash, str(self._height), str(time_us))
        transactions = tuple(self._transactions(time_us))
        proposer = self._validators[self._height % _VALIDATORS]
        return Block(
            height=self._height,
            time_ns=time_us * 1_000 + self._height % 1_000,
            hash=self._hash,
            previous_hash=previous,
            proposer=proposer,
            transactions=transactions,
            # A block without rewards carries an empty amount, which the node writes as null.
            events=(
                ("proposer_reward", (("amount", ""), ("validator", f"seivaloper1{proposer[:38].lower()}"))),
                ("mint", (("annual_provisions", "0.000000000000000000"), ("amount", str(self._height % 97)))),
            ),
        )

    def _transactions(self, time_us: int) -> Iterator[Transaction]:
        rng, model, index = self._rng, self.model, 0
        if rng.random() < model.sequence_failure:
            yield self._sequence_mismatch(index)
            index += 1
        for _ in range(self._arrivals((time_us - self._time_us) / 1e6)):
            yield self._user_swap(index)
            index += 1
        arbitrage = self._arbitrage()
        if arbitrage is not None:
            yield self._swapped(index, [arbitrage])
            index += 1
        if rng.random() < model.vote:
            yield self._vote(index)
            index += 1
        if rng.random() < model.transfer:
            yield self._transfer(index)

    def _arrivals(self, seconds: float) -> int:
        """Draw how many swaps users sent since the last block (Poisson, by its exponential waits)."""
        intensity, waited, count = self.model.swaps_per_s * self._rate, 0.0, 0
        while count < _MAX_SWAPS_PER_BLOCK:
            waited += self._rng.expovariate(intensity)
            if waited > seconds:
                break
            count += 1
        return count

    def _user_swap(self, index: int) -> Transaction:
        if self._rng.random() < self.model.slippage_failure:
            return self._slippage_exceeded(index)
        count = 2 if self._rng.random() < self.model.two_swaps else 1
        swaps = [swap for _ in range(count) if (swap := self._random_swap()) is not None]
        return self._swapped(index, swaps)

    def _random_swap(self) -> Swap | None:
        base = round(self.model.median_swap * self._rng.lognormvariate(0.0, 1.0) * _MICRO)
        if self._rng.random() < 0.5:
            return self.pool.swap(BASE_DENOM, base)
        return self.pool.swap(QUOTE_DENOM, round(base * self.pool.price))

    def _arbitrage(self) -> Swap | None:
        """Trade the pool to the edge of the band in which its fee leaves no profit against the fair price."""
        band = (self.pool.fee_bp + self.model.arbitrage_margin_bp) * 1e-4
        base, quote = self.pool.reserves[BASE_DENOM], self.pool.reserves[QUOTE_DENOM]
        low, high = self._fair.value * (1 - band), self._fair.value * (1 + band)
        # With x * y = k the reserve at price p is x = sqrt(k / p), y = sqrt(k * p).
        if self.pool.price > high:
            return self.pool.swap(BASE_DENOM, int((base * quote / high) ** 0.5) - base)
        if self.pool.price < low:
            return self.pool.swap(QUOTE_DENOM, int((base * quote * low) ** 0.5) - quote)
        return None

    def _swapped(self, index: int, swaps: list[Swap]) -> Transaction:
        sender = self._address()
        events = [event for swap in swaps for event in _swap_events(sender, swap)]
        return self._succeeded(index, sender, "/cosmwasm.wasm.v1.MsgExecuteContract", "wasm", events, 180_000)

    def _vote(self, index: int) -> Transaction:
        sender = self._address()
        rates = f"{self._fair.value:.18f}usei,1.000100000000000000uusdc"
        event: Event = ("aggregate_vote", (("voter", self._address("seivaloper1")), ("exchange_rates", rates)))
        action = "/seiprotocol.seichain.oracle.MsgAggregateExchangeRateVote"
        return self._succeeded(index, sender, action, "oracle", [event], 0)

    def _transfer(self, index: int) -> Transaction:
        sender, amount = self._address(), f"{self._rng.randrange(1, 10**9)}{BASE_DENOM}"
        event: Event = ("transfer", (("recipient", self._address()), ("sender", sender), ("amount", amount)))
        return self._succeeded(index, sender, "/cosmos.bank.v1beta1.MsgSend", "bank", [event], 75_000)

    def _succeeded(
        self, index: int, sender: str, action: str, module: str, events: list[Event], gas: int
    ) -> Transaction:
        messages: tuple[Event, ...] = (
            ("message", (("action", action),)),
            ("message", (("module", module), ("sender", sender))),
            *events,
        )
        used = gas - self._rng.randrange(gas // 4) if gas else 0
        data = action.encode()
        return Transaction(
            index, self._tx(), 0, "", data, _log(messages), gas, used, (*self._ante(sender, gas), *messages)
        )

    def _slippage_exceeded(self, index: int) -> Transaction:
        """Fail in the message: what the checks before it emitted stays, the message's events do not."""
        log = (
            "failed to execute message; message index: 0: Operation exceeds max spread limit: "
            "execute wasm contract failed"
        )
        ante = self._ante(self._address(), 180_000)
        return Transaction(index, self._tx(), 5, "wasm", b"", log, 180_000, self._rng.randrange(60_000, 120_000), ante)

    def _sequence_mismatch(self, index: int) -> Transaction:
        """Fail before the message: no events at all."""
        expected = self._rng.randrange(1_000, 10_000_000)
        log = (
            f"account sequence mismatch, expected {expected}, got {expected - self._rng.randrange(1, 9)}: "
            "incorrect account sequence"
        )
        return Transaction(index, self._tx(), 32, "sdk", b"", log, 0, 0, ())

    def _ante(self, sender: str, gas: int) -> tuple[Event, ...]:
        sequence = self._rng.randrange(1, 10_000_000)
        # Votes pay no fee; some wallets then write none, which the node gives as null.
        fee = f"{gas // 10}{BASE_DENOM}" if gas else self._rng.choice(("", f"0{BASE_DENOM}"))
        signature = base64.b64encode(self._rng.randbytes(64)).decode()
        return (
            ("tx", (("fee", fee), ("fee_payer", sender))),
            ("tx", (("acc_seq", f"{sender}/{sequence}"),)),
            ("tx", (("signature", signature),)),
        )

    def _tx(self) -> bytes:
        return self._rng.randbytes(96)

    def _address(self, prefix: str = "sei1") -> str:
        return prefix + "".join(self._rng.choices(_BECH32, k=38))


def _swap_events(sender: str, swap: Swap) -> tuple[Event, ...]:
    """Give the events of a pool contract's swap, attributes named as in Astroport's pair contracts."""
    amount = f"{swap.offer_amount}{swap.offer_denom}"
    return (
        ("transfer", (("recipient", POOL_CONTRACT), ("sender", sender), ("amount", amount))),
        ("execute", (("_contract_address", POOL_CONTRACT),)),
        (
            "wasm",
            (
                ("_contract_address", POOL_CONTRACT),
                ("action", "swap"),
                ("sender", sender),
                ("receiver", sender),
                ("offer_asset", swap.offer_denom),
                ("ask_asset", swap.ask_denom),
                ("offer_amount", str(swap.offer_amount)),
                ("return_amount", str(swap.return_amount)),
                ("spread_amount", str(swap.spread_amount)),
                ("commission_amount", str(swap.commission_amount)),
            ),
        ),
    )


def _log(events: tuple[Event, ...]) -> str:
    listed = [{"type": kind, "attributes": [{"key": k, "value": v} for k, v in pairs]} for kind, pairs in events]
    return json.dumps([{"events": listed}], separators=(",", ":"))


def _digest(*parts: str) -> str:
    return hashlib.sha256("|".join(parts).encode()).hexdigest().upper()
