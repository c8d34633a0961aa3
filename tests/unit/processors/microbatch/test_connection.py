"""The lean connection is aiokafka's with fewer copies: the same frames, requests, answers and errors."""

from __future__ import annotations

import asyncio
import struct
from itertools import accumulate

import pytest
from aiokafka import conn as aiokafka_conn
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.admin import ApiVersionRequest
from hypothesis import given
from hypothesis import strategies as st

from processors.microbatch import selftest
from processors.microbatch.connection import LeanConnection, _Frames

_LARGE = 70_000  # does not fit the buffer of small frames
_HUGE = 1_200_000  # is waited for in parts


class Quiet(asyncio.Protocol):
    """The stock protocol's place."""


@given(
    sizes=st.lists(st.sampled_from([0, 1, 4, 300, 65_532, 65_533, _LARGE, _HUGE]), max_size=6),
    cuts=st.lists(st.integers(1, 80_000), max_size=6),
)
def test_frames_are_whole_however_the_socket_cuts_them(sizes: list[int], cuts: list[int]) -> None:
    """Small ones several at a time, large ones in pieces, in order, each once; and never waiting for more than one."""
    frames = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
    data = b"".join(struct.pack(">i", len(frame)) + frame for frame in frames)
    got: list[bytes] = []
    problems: list[BaseException] = []
    waits = [1]
    protocol = _Frames(Quiet(), lambda frame: got.append(bytes(frame)), problems.append, waits.append)
    ends = list(accumulate(4 + size for size in sizes))
    at = turn = 0

    while at < len(data):
        room = protocol.get_buffer(-1)
        piece = data[at : at + min((*cuts, 50_000)[turn % (len(cuts) + 1)], len(room))]
        room[: len(piece)] = piece
        protocol.buffer_updated(len(piece))
        at += len(piece)
        turn += 1
        assert waits[-1] <= next((end - at for end in ends if end > at), 1)

    assert waits[-1] == 1
    assert got == frames
    assert problems == []


@pytest.mark.parametrize("size", [-1, 1 << 29])
def test_what_is_no_frame_ends_the_connection(size: int) -> None:
    """Nothing is allocated for a size that a broker never sends."""
    problems: list[BaseException] = []
    protocol = _Frames(Quiet(), lambda _: None, problems.append)
    protocol.get_buffer(-1)[:4] = struct.pack(">i", size)

    protocol.buffer_updated(4)

    assert isinstance(problems[0], KafkaConnectionError)


def test_the_self_test_passes_on_the_pinned_aiokafka() -> None:
    """Both connections send and read the same, and the producer takes our batches."""
    assert selftest.connection_works()
    assert selftest.takes_prebuilt()


def test_where_the_self_test_fails_the_stock_connection_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """An aiokafka that asks its connection for something else is served by its own."""
    stock = aiokafka_conn.AIOKafkaConnection
    monkeypatch.setattr(LeanConnection, "_handle_frame", lambda self, frame: None)
    monkeypatch.setattr(selftest, "_TIMEOUT_S", 0.2)

    assert not selftest.install_connection()
    assert aiokafka_conn.AIOKafkaConnection is stock


async def test_a_broker_that_hangs_up_fails_what_was_asked_and_closes_the_connection() -> None:
    """As the stock connection does: the client then opens another."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readexactly(*struct.unpack(">i", await reader.readexactly(4)))
        answer = request[4:8] + struct.pack(">hi", 0, 1) + struct.pack(">3h", 18, 0, 0)
        writer.write(struct.pack(">i", len(answer)) + answer)
        await reader.readexactly(4)
        writer.close()

    closed: list[object] = []
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        connection = LeanConnection(host, port, on_close=lambda _, reason: closed.append(reason))
        await connection.connect()
        with pytest.raises(KafkaConnectionError):
            await connection.send(ApiVersionRequest())

    assert not connection.connected()
    assert closed == [aiokafka_conn.CloseReason.CONNECTION_BROKEN]
