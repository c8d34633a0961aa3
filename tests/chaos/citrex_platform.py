"""The whole platform trading on a simulated Citrex, each part a process that a test may kill, and an audit of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic import SecretStr

from infra.local.jvm_kafka import JvmKafka
from infra.local.process import Child, wait_until
from infra.runtime.settings import Settings
from infra.runtime.topics import create_topics
from schemas.enums import Mode, OrderAction
from schemas.records import Alert, ExecutionReport, Market, OrderIntent, Position
from schemas.venues.citrex.signing import Signer
from sinks.instruments import load_instruments
from tests.citrex_client import KEYS
from tests.citrex_process import CitrexProcess
from tests.services import ROOT
from tests.sink_records import Kafka

__all__ = ["EXPIRY_MS", "Platform"]

EXPIRY_MS = 4_000
STARTS_WITHIN_S = 180
MARKETS: dict[str, Market] = {
    "seiperp": ("sim-citrex", "SEI/USDC-PERP"),
    "ethperp": ("sim-citrex", "ETH/USDC-PERP"),
}
_FLASHMM = [sys.executable, "-m", "infra.cli"]


@dataclass
class Platform:
    """A broker, an exchange, and the processes between them."""

    kafka: JvmKafka
    registry: str
    exchange: CitrexProcess
    folder: Path
    account: str = "demo"
    children: list[Child] = field(default_factory=list)

    def __enter__(self) -> Self:
        create_topics(self.kafka.bootstrap, partitions=4, prefixes=("",))
        load_instruments(self.settings)
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def environment(self) -> dict[str, str]:
        """The settings of all processes."""
        return {
            "FLASHMM_KAFKA_BOOTSTRAP": self.kafka.bootstrap,
            "FLASHMM_REGISTRY_URL": self.registry,
            "FLASHMM_DATA_DIR": str(self.folder),
            "FLASHMM_ACCOUNT": self.account,
            "FLASHMM_EXECUTOR_MODE": "citrex",
            "FLASHMM_QUOTED_VENUES": "sim-citrex",
            "FLASHMM_CITREX_REST_URL": self.exchange.url,
            "FLASHMM_CITREX_PRIVATE_KEY": KEYS[0],
            "FLASHMM_CITREX_SYMBOLS": ",".join(symbol for _, symbol in MARKETS.values()),
            "FLASHMM_CITREX_POLL_MS": "200",
            "FLASHMM_CITREX_REQUESTS_PER_S": "30",
            "FLASHMM_CITREX_ACCOUNT_POLL_MS": "300",
            "FLASHMM_CITREX_TIMEOUT_MS": "1000",
            "FLASHMM_MAX_SENDS_PER_S": "40",
            "FLASHMM_SENDS_FOR_CANCELS": "20",
            "FLASHMM_ORDER_EXPIRY_MS": str(EXPIRY_MS),
            "FLASHMM_SNAPSHOT_INTERVAL_MS": "500",
            "FLASHMM_SESSION_TIMEOUT_MS": "6000",
        }

    @property
    def settings(self) -> Settings:
        """The same settings here."""
        return Settings(
            _env_file=None,
            kafka_bootstrap=self.kafka.bootstrap,
            registry_url=self.registry,
            data_dir=self.folder,
            account=self.account,
            executor_mode=Mode.CITREX,
            quoted_venues="sim-citrex",
        )

    @cached_property
    def records(self) -> Kafka:
        """What Kafka holds."""
        return Kafka(self.settings)

    @property
    def address(self) -> str:
        """The account at the exchange."""
        return Signer(SecretStr(KEYS[0]), setting="key").address

    def producer(self) -> Child:
        """Start the producer of market data."""
        return self._start("producer", [*_FLASHMM, "produce", "citrex", "--venue", "sim-citrex"])

    def worker(self) -> Child:
        """Start a worker of all stages."""
        command = ["-m", "faust", "-A", "processors.app", "worker", "-l", "info", "--without-web"]
        return self._start("worker", [sys.executable, *command])

    def executor(self, *, dies_after_orders: int | None = None) -> Child:
        """Start an executor, perhaps one that dies between journal and venue."""
        if dies_after_orders is None:
            return self._start("executor", [*_FLASHMM, "sink", "executor"])
        command = [sys.executable, "-m", "tests.chaos.planted_executor"]
        return self._start("planted", command, PLANTED_AFTER_ORDERS=str(dies_after_orders))

    def wait_for_end(self, child: Child) -> None:
        """Wait until a process has ended by itself."""
        assert wait_until(lambda: not child.is_alive, timeout_s=STARTS_WITHIN_S), child.log_tail()

    def _start(self, name: str, command: list[str], **environment: str) -> Child:
        log = self.folder / f"{name}-{len(self.children)}.log"
        child = Child(name, command, log=log, environment=self.environment | environment, cwd=ROOT)
        child.start()
        self.children.append(child)
        return child

    def kill(self) -> None:
        """Kill everything of ours."""
        for child in self.children:
            child.kill()

    # What the exchange holds

    def placed(self) -> int:
        """Count the orders that the exchange took."""
        return len(self.ledger().get("nonces", ()))

    def ledger(self) -> dict[str, Any]:
        """Give the exchange's books of the account."""
        return self.exchange.account(self.address)

    def open_orders(self) -> list[dict[str, Any]]:
        """Give our orders in the exchange's book."""
        return list(self.ledger()["openOrders"])

    def trades(self) -> int:
        """Count our trades."""
        return len(self.ledger()["trades"])

    # What the log holds

    def read(self, kind: type[Any]) -> list[Any]:
        """Give all records of a kind, partition by partition."""
        return [record for number in range(4) for record in self.records.read(kind, number)]

    def alerts(self) -> list[str]:
        """Give the codes of all alerts."""
        return [alert.code for alert in self.read(Alert)]

    def unresolved(self) -> list[str]:
        """Give the orders of the journal whose end no report tells."""
        ended = {"FILLED", "CANCELLED", "REJECTED", "EXPIRED"}
        last = {report.order_id: report.status for report in self.read(ExecutionReport)}
        placed = [intent.order_id for intent in self.read(OrderIntent) if intent.action is OrderAction.PLACE]
        return [order_id for order_id in placed if last.get(order_id) not in ended]

    def audit(self) -> None:
        """Compare log and ledger: orders, trades, positions, fees and funding, to the unit.

        Everything of ours that changes them has to have stopped.
        """
        ledger = self.ledger()
        journalled = [intent.nonce for intent in self.read(OrderIntent) if intent.action is OrderAction.PLACE]
        assert len(journalled) == len(set(journalled)), "an intent is journalled twice"
        assert len(ledger["nonces"]) == len(set(ledger["nonces"])), "an order was placed twice"
        assert set(ledger["nonces"]) <= set(journalled), "an order was placed that the journal does not hold"
        assert self.exchange.control("counters").get("refused_nonce_used", 0) == 0, "an order was sent twice"
        reports = self.read(ExecutionReport)
        booked = [report.trade_id for report in reports if report.last_size]
        assert sorted(booked) == sorted(trade["uid"] for trade in ledger["trades"]), "every trade is booked once"
        assert len({report.execution_id for report in reports}) == len(reports)
        assert self._positions() == self._ledger_positions(ledger)
        assert self.funding() == self._ledger_funding(ledger)

    def is_settled(self) -> bool:
        """Whether nothing is open or in doubt, and every trade of the exchange is booked."""
        booked = sum(bool(report.last_size) for report in self.read(ExecutionReport))
        is_whole = not self.open_orders() and not self.unresolved() and booked == self.trades()
        # What a venue pays with a trade shows in its balance, which is read a little later.
        return is_whole and self.funding() == self._ledger_funding(self.ledger())

    def settle(self, timeout_s: float = 60) -> None:
        """Wait until it is so."""
        is_settled = wait_until(self.is_settled, timeout_s=timeout_s, poll_s=0.5)
        tail = self.children[-1].log_tail()
        assert is_settled, (self.open_orders(), self.unresolved(), self.trades(), tail)

    def funding(self) -> int:
        """Give the funding received for all positions, in 1e-18."""
        return sum({position.market: position.funding or 0 for position in self.read(Position)}.values())

    @staticmethod
    def _ledger_funding(ledger: dict[str, Any]) -> int:
        return sum(int(row["funding"]) for row in ledger["positions"])

    def _positions(self) -> dict[Market, tuple[int, int, int]]:
        last = {position.market: position for position in self.read(Position)}
        return {market: (p.quantity, p.cash, p.fees) for market, p in last.items() if p.fill_count}

    @staticmethod
    def _ledger_positions(ledger: dict[str, Any]) -> dict[Market, tuple[int, int, int]]:
        found = {}
        for row in ledger["positions"]:
            values = [divmod(int(row["quantity"]), 10**10), *(divmod(int(row[name]), 10) for name in ("cash", "fees"))]
            assert not any(rest for _, rest in values), "finer than our units"
            quantity, cash, fees = (value for value, _ in values)
            found[MARKETS[row["productSymbol"]]] = (quantity, cash, fees)
        return found
