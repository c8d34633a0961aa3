"""The simulated Citrex in a process of its own, and its hands: faults, money, takers, the ledger."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from schemas.venues.citrex.messages import SIMULATED
from tests.services import ROOT

__all__ = ["CitrexProcess", "citrex_process"]

ONE = 10**18


class CitrexProcess:
    """A simulated venue that runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        addresses = json.loads(process.stdout.readline())
        self.url: str = addresses["rest_url"]
        self._control: str = addresses["control_url"]

    def control(self, path: str, **document: Any) -> Any:
        """Ask a control endpoint: GET without a document."""
        data = json.dumps(document).encode() if document else None
        request = urllib.request.Request(f"{self._control}/{path}", data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as response:
            return json.loads(response.read())

    def fault(self, kind: str, operation: str | None = None, *, count: int = 1, delay_ms: int = 1_000) -> None:
        """Let the next requests go wrong."""
        more = {} if operation is None else {"operation": operation}
        self.control("fault", kind=kind, count=count, delay_ms=delay_ms, **more)

    def account(self, address: str, sub_account_id: int = 0) -> dict[str, Any]:
        """Give what the ledger has of a sub-account."""
        for row in self.control("ledger")["accounts"]:
            if (row["account"], row["subAccountId"]) == (address.lower(), sub_account_id):
                return dict(row)
        return {"openOrders": [], "trades": [], "positions": []}

    def quantity(self, address: str, symbol: str = "seiperp") -> int:
        """Give a position of the ledger, in units of 1e-8."""
        rows = [row for row in self.account(address)["positions"] if row["productSymbol"] == symbol]
        return int(rows[0]["quantity"]) // 10**10 if rows else 0

    def take(self, quantity: int, *, is_buy: bool, symbol: str = "seiperp") -> None:
        """Let the crowd take so many whole units from the book."""
        self.control("take", symbol=symbol, isBuy=is_buy, quantity=str(quantity * ONE))


@contextmanager
def citrex_process(*options: str, domain: str = SIMULATED.venue) -> Iterator[CitrexProcess]:
    """Run a simulated venue for the length of a block."""
    command = [sys.executable, "-m", "infra.cli", "simulate", "citrex", "--json", "--domain", domain, *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        try:
            yield CitrexProcess(process)
        finally:
            process.kill()
