"""aiokafka's connection with fewer copies: frames are read to where they stay, batches written from where they are.

Stock, a fetched byte is copied four times before it is looked at, in pieces of 64 KiB that each wake a task, and a
produced one eight times. The frames, the requests, their order and their errors stay aiokafka's. What is leaned on is
private API of aiokafka: `processors.microbatch.selftest` exercises it against a server of its own, and where it fails
the stock connection stays (slower, same meaning).
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.types import Array, Bytes, Int32, Schema
from aiokafka.util import wait_for

__all__ = ["LeanConnection"]

_SIZE = struct.Struct(">i")
_SMALL_BYTES = 64 * 1024
_MAX_FRAME_BYTES = 1 << 28  # five times what aiokafka asks for at most
_AT_ONCE_BYTES = 1 << 20


class _Frames(asyncio.BufferedProtocol):
    """Cut what a socket gives into frames: small ones many at a time, a large one straight into its own place.

    Args:
        protocol: Told of all but data: pauses of writing, the end.
        handle: Given each frame, without its size; a large one in a buffer that is used again.
        ended: Told why no more can come.
        wake_from: Told how many bytes there must be for a read: of a large frame all that is left, or a part that is
            worth it. Each read hands the interpreter over, and nothing is done of a frame before its end.
    """

    def __init__(
        self,
        protocol: asyncio.Protocol,
        handle: Callable[[bytes | memoryview], None],
        ended: Callable[[BaseException], None],
        wake_from: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._protocol = protocol
        self._handle = handle
        self._ended = ended
        self._small = memoryview(bytearray(_SMALL_BYTES))
        self._filled = 0
        self._large = bytearray()
        self._frame: memoryview | None = None
        self._got = 0
        self._wake_from = wake_from
        self._wakes_from = 1

    def get_buffer(self, sizehint: int) -> memoryview:
        """Give where the next bytes belong."""
        return self._small[self._filled :] if self._frame is None else self._frame[self._got :]

    def buffer_updated(self, nbytes: int) -> None:
        """Take note of bytes that were read."""
        try:
            self._took(nbytes)
        except Exception as error:  # noqa: BLE001  as in aiokafka's reader: whatever a frame does ends the connection
            self._ended(error)

    def eof_received(self) -> bool | None:
        """Pass on that the peer will send no more."""
        is_open = self._protocol.eof_received()
        self._ended(EOFError("the broker closed the connection"))
        return is_open

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on that the connection is gone."""
        self._protocol.connection_lost(exc)
        self._ended(exc or EOFError("the connection was closed"))

    def pause_writing(self) -> None:
        """Pass on that the transport's buffer is full."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that the transport's buffer has room."""
        self._protocol.resume_writing()

    def _took(self, nbytes: int) -> None:
        if self._frame is not None:
            self._got += nbytes
            left = len(self._frame) - self._got
            if left:
                self._wait_for(min(left, self._wakes_from))
                return
            self._wait_for(1)
            frame, self._frame = self._frame, None
            self._handle(frame)
            return
        at, end = 0, self._filled + nbytes
        while end - at >= _SIZE.size:
            (size,) = _SIZE.unpack_from(self._small, at)
            if not 0 <= size <= _MAX_FRAME_BYTES:
                raise KafkaConnectionError(f"a frame of {size} bytes: not a Kafka broker")
            begin = at + _SIZE.size
            if end - begin < size:
                if size > _SMALL_BYTES - _SIZE.size:
                    self._begin_large(size, self._small[begin:end])
                    at = end
                break
            at = begin + size
            self._handle(bytes(self._small[begin:at]))
        rest = bytes(self._small[at:end])
        self._small[: len(rest)] = rest
        self._filled = len(rest)

    def _begin_large(self, size: int, begun: memoryview) -> None:
        # One buffer for all, as large as the largest: memory that was touched before is cheaper.
        if len(self._large) < size:
            self._large = bytearray(size)
        self._frame = memoryview(self._large)[:size]
        self._got = len(begun)
        self._frame[: self._got] = begun
        self._wait_for(min(size - self._got, _AT_ONCE_BYTES))

    def _wait_for(self, nbytes: int) -> None:
        # Never for more than the frame lacks: what follows it may be long in coming.
        if nbytes != self._wakes_from:
            self._wakes_from = nbytes
            self._wake_from(nbytes)


class _Stream:
    """A frame for aiokafka to decode: what it reads are copies, the only ones."""

    def __init__(self, frame: memoryview) -> None:
        self._frame = frame
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        """Read so many bytes, fewer at the end."""
        begin = self._at
        self._at = len(self._frame) if size < 0 else min(begin + size, len(self._frame))
        return bytes(self._frame[begin : self._at])


def _waker(transport: asyncio.Transport) -> Callable[[int], object]:
    """Give what sets how many bytes there must be for a read, where the system knows that."""
    if sys.platform != "linux" or transport.get_extra_info("sslcontext") is not None:
        return lambda _: None
    return partial(transport.get_extra_info("socket").setsockopt, socket.SOL_SOCKET, socket.SO_RCVLOWAT)


class LeanConnection(AIOKafkaConnection):  # type: ignore[misc]  # aiokafka ships no types
    """A connection to a broker."""

    def _create_reader_task(self) -> asyncio.Task[None]:
        self_ref = weakref.ref(self)

        def handle(frame: bytes | memoryview) -> None:
            connection = self_ref()
            if connection is not None:
                connection._handle_frame(frame)

        def end(reason: BaseException) -> None:
            if not ended.done():
                ended.set_exception(reason)

        self._ended = ended = self._loop.create_future()
        ended.add_done_callback(lambda done: done.cancelled() or done.exception())  # whether anybody waits or not
        transport = self._writer.transport
        transport.set_protocol(_Frames(self._protocol, handle, end, _waker(transport)))
        task: asyncio.Task[None] = super()._create_reader_task()
        return task

    @staticmethod
    async def _read(self_ref: weakref.ref[LeanConnection]) -> None:
        """Wait in place of aiokafka's reader; what is raised here closes the connection."""
        connection = self_ref()
        if connection is not None:
            ended = connection._ended
            del connection
            await ended

    def _handle_frame(self, frame: bytes | memoryview) -> None:
        correlation_id, request, future = self._requests[0]
        if isinstance(frame, bytes) or correlation_id is None:
            super()._handle_frame(bytes(frame))
            return
        stream = _Stream(frame)
        if request.parse_response_header(stream).correlation_id != correlation_id:
            super()._handle_frame(bytes(frame))  # which says so and closes
            return
        if not future.done():
            future.set_result(request.RESPONSE_TYPE.decode(stream))
        self._last_action = time.monotonic()
        self._requests.popleft()

    def send(self, request: Any, expect_response: bool = True) -> Any:
        """Send a request; gives a future of the response."""
        if self._writer is None or not expect_response or not isinstance(request, ProduceRequest):
            return super().send(request, expect_response)
        built = request.prepare(self._versions)
        correlation_id = self._next_correlation_id()
        header = built.build_request_header(correlation_id=correlation_id, client_id=self._client_id).encode()
        parts = [header, *_encoded(built.SCHEMA, [built.get_item(name) for name in built.SCHEMA.names])]
        future = self._loop.create_future()
        for piece in _pieces([_SIZE.pack(sum(map(len, parts))), *parts]):
            self._writer.write(piece)
        self._requests.append((correlation_id, built, future))
        return wait_for(future, self._request_timeout)


def _encoded(kind: Any, value: Any) -> Iterator[Any]:
    """Encode a value of aiokafka's schema as parts, in which bytes are as they came."""
    if isinstance(kind, Schema):
        for field, one in zip(kind.fields, value, strict=True):
            yield from _encoded(field, one)
    elif isinstance(kind, Array) and value is not None:
        yield Int32.encode(len(value))
        for one in value:
            yield from _encoded(kind.array_of, one)
    elif kind is Bytes and value is not None:
        yield Int32.encode(len(value))
        yield value
    else:
        yield kind.encode(value)


def _pieces(parts: Iterable[Any]) -> Iterator[Any]:
    """Join what is small, so that few writes are made, and leave what is large where it is."""
    small: list[Any] = []
    for part in parts:
        if len(part) < _SMALL_BYTES:
            small.append(part)
        else:
            yield b"".join(small)
            yield memoryview(part)
            small = []
    yield b"".join(small)
