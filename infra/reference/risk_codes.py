"""Generate `docs/risk-codes.md` from the enums of `schemas.reasons`: `python -m infra.reference.risk_codes`."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from schemas.reasons import AccountReason, DeadLetterReason, DenyReason, FlattenReason, OrderReason, RejectReason

__all__ = ["PAGE", "markdown"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "risk-codes.md"

_HEAD = """\
# Reason codes

Generated from `schemas/reasons.py` by `python -m infra.reference.risk_codes`; do not edit.

Nothing is dropped without a code. A code, once written, keeps its meaning.
"""

_SECTIONS: tuple[tuple[str, str, type[StrEnum]], ...] = (
    ("Quotes denied", "`reasons` of `trading.quotes`", DenyReason),
    ("Orders not sent", "`denied_…` of the executor's counters", AccountReason),
    ("Positions not closed", "alerts `FLATTEN_BLOCKED`, and `flatten_…` of the executor's counters", FlattenReason),
    ("Orders refused and cancelled", "`reason` of `trading.executions` and `trading.orders`", OrderReason),
    ("Ticks rejected", "counters of the normaliser, and `ticks.rejected` of a run's summary", RejectReason),
    ("Dead letters", "`reason` of `ops.dead-letters`", DeadLetterReason),
)


def markdown() -> str:
    """Write the page."""
    parts = [_HEAD]
    for title, where, enum in _SECTIONS:
        rows = "\n".join(f"| `{code}` | {meaning} |" for code, meaning in _members(enum))
        summary = inspect.getdoc(enum)
        parts.append(f"## {title}\n\n{summary} Found in {where}.\n\n| code | meaning |\n|---|---|\n{rows}\n")
    return "\n".join(parts)


def _members(enum: type[StrEnum]) -> Iterator[tuple[str, str]]:
    """Give each member's value and the string beneath it, which only the source has."""
    (definition,) = ast.parse(inspect.getsource(enum)).body
    assert isinstance(definition, ast.ClassDef)
    for statement, following in zip(definition.body, definition.body[1:], strict=False):
        match statement, following:
            case (ast.Assign(targets=[ast.Name(id=name)]), ast.Expr(value=ast.Constant(value=str(text)))):
                yield enum[name].value, " ".join(text.split())


if __name__ == "__main__":
    PAGE.write_text(markdown(), encoding="utf-8")
