"""From records to Redis commands: keys, coalescing, bounds."""

from __future__ import annotations

import json
from dataclasses import replace

from schemas.records import Record
from sinks.redis_plan import Command, Plan
from tests.sink_records import SYMBOL, VENUE, balance, bar, delivery, execution, quote, trade

MARKET = f"{VENUE}:{SYMBOL}"


def planned(*records: Record, primary: str = "elsewhere", hot_ticks: int = 3) -> list[Command]:
    plan = Plan(primary, hot_ticks)
    for offset, record in enumerate(records):
        plan.add(record, delivery(record, offset))
    return plan.commands()


def of(commands: list[Command], name: str, key: str) -> list[Command]:
    return [c for c in commands if c.arguments[0] == name and key in c.arguments]


def test_only_the_newest_value_of_a_flush_is_written() -> None:
    """By receive time, then by place in the log; every record is still published."""
    commands = planned(quote(1), quote(3), quote(2))

    (latest,) = of(commands, "EVAL", f"flashmm:quote:{MARKET}")
    assert [d.offset for d in latest.deliveries] == [1]
    assert len(of(commands, "PUBLISH", f"flashmm:pub:quotes:{MARKET}")) == 3


def test_hot_ticks_are_one_command_for_a_market() -> None:
    """No more members than are kept, oldest first, then the trim."""
    commands = planned(*(trade(n) for n in range(5)))

    (added,) = of(commands, "ZADD", f"flashmm:ticks:{MARKET}")
    members = [json.loads(str(text))["trade_id"] for text in added.arguments[3::2]]
    assert members == ["t2", "t3", "t4"]
    (trimmed,) = of(commands, "ZREMRANGEBYRANK", f"flashmm:ticks:{MARKET}")
    assert trimmed.arguments[2:] == (0, -4)


def test_the_greatest_revision_of_a_bar_is_written() -> None:
    """Whatever the order of delivery."""
    commands = planned(bar(0, 1), bar(0, 3), bar(0, 2))

    (written,) = of(commands, "EVAL", f"flashmm:bars:{MARKET}:M1")
    assert [d.offset for d in written.deliveries] == [1]


def test_the_primary_venue_is_also_written_under_the_symbol() -> None:
    """Other venues are not."""
    commands = planned(quote(1), replace(quote(2), venue="other"), primary=VENUE)

    (alias,) = of(commands, "EVAL", f"flashmm:quote:{SYMBOL}")
    assert json.loads(str(alias.arguments[-2]))["venue"] == VENUE


def test_the_newest_balance_is_written_for_its_owner() -> None:
    """By mode, account, venue and asset; every one is published."""
    commands = planned(balance(1), balance(3), balance(2))

    owner = f"paper:demo:{VENUE}:USDC"
    (latest,) = of(commands, "EVAL", f"flashmm:balance:{owner}")
    assert json.loads(str(latest.arguments[-2]))["ts_update"] == balance(3).ts_update
    assert len(of(commands, "PUBLISH", f"flashmm:pub:balances:{owner}")) == 3


def test_values_come_before_what_tells_of_them() -> None:
    """Who is told of a record finds it."""
    commands = planned(trade(1), bar(0, 0), quote(2))

    first_publish = next(n for n, command in enumerate(commands) if command.is_publish)
    assert all(command.is_publish for command in commands[first_publish:])


def test_records_that_redis_does_not_hold_are_passed_over() -> None:
    """They cost nothing and refuse nothing."""
    assert planned(execution(1)) == []
