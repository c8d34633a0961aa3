"""docs/risk-codes.md says what the code says."""

from __future__ import annotations

from infra.reference.risk_codes import PAGE, markdown
from schemas.reasons import DeadLetterReason, DenyReason, RejectReason


def test_page_is_fresh() -> None:
    """Regenerate with `python -m infra.reference.risk_codes`."""
    assert PAGE.read_text(encoding="utf-8") == markdown()


def test_every_code_is_on_the_page_with_a_meaning() -> None:
    """A code without a sentence beneath it in the source would be missing."""
    page = markdown()

    for code in (*DenyReason, *RejectReason, *DeadLetterReason):
        assert f"| `{code}` | " in page
