"""`flashmm halt` and `flashmm resume`: the kill ladder of an account, through `control.commands`."""

from __future__ import annotations

import getpass
import socket
import sys
import uuid
from dataclasses import asdict
from enum import StrEnum, unique
from typing import Annotated, Any

import typer

from infra.cli.output import ExitCode, print_json, print_table, utc_text
from infra.runtime.clock import wall_clock_us
from infra.runtime.settings import Settings, load_settings
from schemas.enums import ControlAction, ControlLevel, Mode
from schemas.numbers import PRICE_SCALE, SIZE_SCALE, format_units
from schemas.records import Command
from sinks.executor.control.operator import AuditTrail, Holdings, await_empty, read_audit, read_holdings, send_command

__all__ = ["halt", "resume"]


@unique
class Level(StrEnum):
    """What the command line calls the rungs; `status` looks only."""

    WIDEN = "widen"
    STOP_NEW = "stop-new"
    CANCEL_ALL = "cancel-all"
    FLATTEN = "flatten"
    DISCONNECT = "disconnect"
    STATUS = "status"


_RUNGS = {level: ControlLevel[level.name] for level in Level if level is not Level.STATUS}
_DESTRUCTIVE = (Level.CANCEL_ALL, Level.FLATTEN, Level.DISCONNECT)
_EFFECTS = {
    Level.WIDEN: "quotes move away from the fair price",
    Level.STOP_NEW: "orders that could make a position larger are cancelled, and no new ones sent",
    Level.CANCEL_ALL: "every order is cancelled, and no new one sent",
    Level.FLATTEN: "every order is cancelled, and every position is closed by orders that take",
    Level.DISCONNECT: "every order is cancelled, and the venue is not spoken to any more",
}

Account = Annotated[str | None, typer.Option(help="Account; FLASHMM_ACCOUNT where not given.")]
OfMode = Annotated[Mode | None, typer.Option("--mode", help="Its mode; FLASHMM_EXECUTOR_MODE where not given.")]
Reason = Annotated[str, typer.Option(help="Why, for the audit record.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def halt(
    level: Annotated[Level, typer.Argument(help="Rung to go to, mildest first; `status` shows what is in force.")],
    account: Account = None,
    mode: OfMode = None,
    reason: Reason = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for the account's name.")] = False,
    direct: Annotated[
        bool, typer.Option("--direct", help="With cancel-all: ask the venue itself, signed here, without Kafka.")
    ] = False,
    wait: Annotated[
        float, typer.Option(min=0.0, help="Seconds to wait for the executor to have cancelled; 0: do not.")
    ] = 5.0,
    as_json: AsJson = False,
) -> None:
    """Halt an account: go to a rung of the ladder and stay there, over restarts, until `flashmm resume`.

    A halt never makes another one milder. From cancel-all on the account's name has to be typed.
    """
    settings = load_settings()
    account, mode = account or settings.account, mode or settings.executor_mode
    if direct:
        _direct(level, settings, account, is_confirmed=yes, as_json=as_json)
        return
    if level is Level.STATUS:
        _show(read_audit(settings, mode, account), mode, account, as_json=as_json)
        return
    is_destructive = level in _DESTRUCTIVE
    if is_destructive and not yes:
        trail, holdings = read_audit(settings, mode, account), read_holdings(settings, mode, account)
        _preview(level, trail, holdings, mode, account)
        _confirm(level, account)
    command = _command(mode, account, ControlAction.HALT, _RUNGS[level], reason)
    offset = send_command(settings, command)
    left = await_empty(settings, mode, account, wait if is_destructive else 0.0)
    _report(read_audit(settings, mode, account), command, offset, left, as_json=as_json)
    if is_destructive and wait > 0 and left.open_orders:
        problem = f"{len(left.open_orders)} orders are still open after {wait:g} s by the log: does the executor run?"
        typer.echo(f"flashmm: {problem} `flashmm halt cancel-all --direct` does without it", err=True)
        raise typer.Exit(ExitCode.TIMED_OUT)


def resume(account: Account = None, mode: OfMode = None, reason: Reason = "", as_json: AsJson = False) -> None:
    """Leave the ladder: the account trades again."""
    settings = load_settings()
    account, mode = account or settings.account, mode or settings.executor_mode
    command = _command(mode, account, ControlAction.RESUME, None, reason)
    offset = send_command(settings, command)
    holdings = read_holdings(settings, mode, account)
    _report(read_audit(settings, mode, account), command, offset, holdings, as_json=as_json)


def _direct(level: Level, settings: Settings, account: str, *, is_confirmed: bool, as_json: bool) -> None:
    """Cancel at the venue itself; no rung is gone to, so an executor that still runs places anew."""
    if level is not Level.CANCEL_ALL:
        typer.echo("flashmm: --direct goes with cancel-all alone", err=True)
        raise typer.Exit(ExitCode.USAGE)
    if not is_confirmed:
        _confirm(level, account)
    # Imported here: no other command of the ladder signs.
    from sinks.executor.citrex.direct import cancel_all_directly

    result = cancel_all_directly(settings)
    if as_json:
        print_json({**asdict(result), "is_done": result.is_done})
    else:
        rows = [(product.symbol, product.problem or "cancelled") for product in result.products]
        print_table(("product", "result"), rows, title=f"{result.venue}, sub-account {result.sub_account_id}")
        left = "not known" if result.orders_left is None else result.orders_left
        print(f"open orders left: {left}")
    if not result.is_done:
        raise typer.Exit(ExitCode.ERROR)


def _confirm(level: Level, account: str) -> None:
    typer.echo(f"Type the account's name to {level}: ", err=True, nl=False)
    if sys.stdin.readline().strip() != account:
        typer.echo(f"flashmm: that is not {account}: nothing was sent", err=True)
        raise typer.Exit(ExitCode.ERROR)


def _command(mode: Mode, account: str, action: ControlAction, level: ControlLevel | None, reason: str) -> Command:
    return Command(
        command_id=str(uuid.uuid4()),
        mode=mode,
        account=account,
        action=action,
        level=level,
        issued_by=f"operator:{getpass.getuser()}@{socket.gethostname()}",
        reason=reason,
        ts_command=wall_clock_us(),
    )


def _preview(level: Level, trail: AuditTrail, holdings: Holdings, mode: Mode, account: str) -> None:
    """Say on stderr what will happen."""
    now = trail.ladder.level
    lines = [f"{mode} account {account}, now on {f'rung {now}' if now else 'no rung'}: {_EFFECTS[level]}"]
    lines.append(f"{len(holdings.open_orders)} orders open by the log")
    lines += [f"  {p.venue} {p.symbol}: position {format_units(p.quantity, SIZE_SCALE)}" for p in holdings.positions]
    typer.echo("\n".join(lines), err=True)


def _report(trail: AuditTrail, command: Command, offset: int, left: Holdings, *, as_json: bool) -> None:
    rung = trail.ladder.level
    if as_json:
        document = {"command_id": command.command_id, "offset": offset, "rung": rung, **_holdings(left)}
        print_json({"mode": command.mode, "account": command.account, **document})
        return
    print(f"{command.mode} account {command.account}: {f'on rung {rung}' if rung else 'trading, on no rung'}")
    print(f"command {command.command_id} is acknowledged, at offset {offset} of control.commands")
    print(f"{len(left.open_orders)} orders open by the log")


def _show(trail: AuditTrail, mode: Mode, account: str, *, as_json: bool) -> None:
    rung = trail.ladder.level
    rows = [_row(entry.offset, entry.command, entry.problem) for entry in trail.entries]
    if as_json:
        print_json({"mode": mode, "account": account, "rung": rung, "commands": rows})
        return
    print(f"{mode} account {account}: {f'on rung {rung}' if rung else 'trading, on no rung'}")
    if rows:
        shown = [{**row, "ts_command": utc_text(row["ts_command"])} for row in rows]
        print_table(list(rows[0]), [["" if v is None else v for v in row.values()] for row in shown], title="Commands")


def _row(offset: int, command: Command | None, problem: str) -> dict[str, Any]:
    return {
        "offset": offset,
        "ts_command": command.ts_command if command else None,
        "action": command.action if command else "unreadable",
        "level": command.level if command else None,
        "issued_by": command.issued_by if command else None,
        "reason": command.reason if command else problem,
    }


def _holdings(holdings: Holdings) -> dict[str, Any]:
    return {
        "positions": [
            {"venue": p.venue, "symbol": p.symbol, "quantity": format_units(p.quantity, SIZE_SCALE)}
            for p in holdings.positions
        ],
        "open_orders": [
            {
                "order_id": report.order_id,
                "venue": report.venue,
                "symbol": report.symbol,
                "side": report.side,
                "price": format_units(report.price, PRICE_SCALE),
                "size": format_units(report.size - report.filled_size, SIZE_SCALE),
            }
            for report in holdings.open_orders
        ],
    }
