"""Bytes of one schema to rows of numbers, as far as compiled code takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.codec import HEADER_SIZE, SCHEMA_ID_HEADER, Codec, split_header
from schemas.columns.layout import OP_INTERN, Layout
from schemas.columns.spans import Spans
from schemas.columns.specialised import FORM_FRAMED, FORM_OTHER, FORM_PLAIN, decoder_of, slack_of
from schemas.columns.texts import Texts, with_slack
from schemas.errors import CodecError

__all__ = ["read_rows"]


def read_rows(layout: Layout, values: Spans, codec: Codec) -> tuple[NDArray[np.void], NDArray[np.bool_], list[str]]:
    """Decode what is in the newest schema and as it almost always is; the rest is for the codec.

    Returns:
        A row for each value, of `layout.dtype`; which of them are decoded, the others mean nothing; and the texts by
        the numbers in the rows.
    """
    count = len(values)
    rows: NDArray[Any] = np.empty(count, layout.dtype)
    ok = np.empty(count, np.bool_)
    interned = [field.name for field in layout.fields if field.op == OP_INTERN]
    texts = Texts(len(interned) * count, len(values.data))
    decoder_of(layout)(
        *with_slack(values.data, slack_of(layout)),
        values.starts,
        values.ends,
        _forms(values, codec),
        _headers(codec),
        rows.view(np.int64),
        texts.arrays,
        ok,
    )
    strings, bad = texts.strings()
    for name in interned if bad else ():
        # Which record is to blame, and for what, the codec says.
        ok &= ~np.isin(rows[name], bad)
    return rows, ok, strings


def _headers(codec: Codec) -> NDArray[np.int64]:
    """Give the framed headers of the newest schema as little-endian numbers, the codec's own first."""
    ids = [key for key in codec.newest_ids() if isinstance(key, int)]
    ids.sort(key=lambda key: key != codec.schema_id)
    return np.array([int.from_bytes(key.to_bytes(HEADER_SIZE, "big"), "little") for key in ids], np.int64)


def _forms(values: Spans, codec: Codec) -> NDArray[np.int8]:
    forms = np.full(len(values), FORM_FRAMED, np.int8)
    for row, found in values.headers.items():
        if any(name == SCHEMA_ID_HEADER for name, _ in found):
            forms[row] = FORM_OTHER
            try:
                key, _ = split_header(values.value(row), found)
            except CodecError:
                continue
            if isinstance(key, bytes) and key in codec.newest_ids():
                forms[row] = FORM_PLAIN
    return forms
