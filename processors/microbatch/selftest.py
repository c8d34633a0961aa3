"""Exercise what of aiokafka's private interfaces the connection and the publisher lean on, before a worker starts."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import numpy as np
from aiokafka import conn as aiokafka_conn
from aiokafka.conn import AIOKafkaConnection
from aiokafka.producer.message_accumulator import MessageBatch
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from aiokafka.util import wait_for

from processors.microbatch.connection import LeanConnection
from processors.microbatch.recordbatch import Block, PrebuiltBatch, prebuilt

__all__ = ["connection_works", "install_connection", "takes_prebuilt"]

_SIZE = struct.Struct(">i")
_TIMEOUT_S = 5.0
_LARGE = b"large" * 100_000
_PRODUCE, _FETCH, _VERSIONS = 0, 1, 18
_ANSWERS = {
    # Of each: no error, then the versions that a broker of today shares with aiokafka.
    _VERSIONS: struct.pack(">hi", 0, 3) + struct.pack(">9h", _PRODUCE, 3, 7, _FETCH, 4, 11, _VERSIONS, 0, 0),
    # One topic, one partition: no error, offset 7.
    _PRODUCE: struct.pack(">ih1si", 1, 1, b"t", 1) + struct.pack(">ihqqqi", 0, 0, 7, -1, 0, 0),
    # One topic, one partition: end 9, stable up to 9, begin 0, no aborted transaction, no other replica, records.
    _FETCH: struct.pack(">ihiih1si", 0, 0, 0, 1, 1, b"t", 1)
    + struct.pack(">ihqqqiii", 0, 0, 9, 9, 0, -1, -1, len(_LARGE))
    + _LARGE,
}


def install_connection() -> bool:
    """Make aiokafka connect by `LeanConnection`; False where its private API is not as expected."""
    if not hasattr(aiokafka_conn, "AIOKafkaConnection") or not connection_works():
        return False
    aiokafka_conn.AIOKafkaConnection = LeanConnection
    return True


def connection_works() -> bool:
    """Tell whether `LeanConnection` sends and reads on this aiokafka what the stock connection does."""
    # With a factory, the thread's own loop is left alone.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        try:
            stock = runner.run(wait_for(_exercised(AIOKafkaConnection), _TIMEOUT_S))
            ours = runner.run(wait_for(_exercised(LeanConnection), _TIMEOUT_S))
        except Exception:  # noqa: BLE001  whatever is not as expected: the stock connection is always there
            return False
    return bool(ours == stock and ours[1][1] == _LARGE)


def takes_prebuilt() -> bool:
    """Tell whether aiokafka's producer asks no more of a batch than `PrebuiltBatch` has."""
    block = Block(b"value", np.array([5], np.int64), [b"key"], np.zeros(1, np.int64), np.zeros(1, np.int64))
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        try:
            built = runner.run(_taken(prebuilt(block, 0, 1_000, 7)[0]))
            record = MemoryRecords(built).next_batch()
            return bool(record.validate_crc()) and (record.producer_id, record.base_offset) == (3, 0)
        except Exception:  # noqa: BLE001  whatever is not as expected: aiokafka's own builder is always there
            return False


async def _taken(built: PrebuiltBatch) -> bytes:
    """Lead a batch through aiokafka's own of one partition, as its accumulator and sender do."""
    batch = MessageBatch(TopicPartition("t", 0), built, 10, 0)
    assert batch.append(b"k", b"v", None) is None
    assert not batch.is_empty()
    assert batch.record_count == 1
    assert batch.remaining_linger() is None
    batch.set_producer_state(producer_id=3, producer_epoch=0, base_sequence=0)
    batch.drain_ready()
    return bytes(batch.get_data_buffer())


async def _exercised(connection: type[AIOKafkaConnection]) -> tuple[list[bytes], list[Any]]:
    """Give what a connection sent and what it made of the answers."""
    received: list[bytes] = []
    served = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while size := await reader.read(_SIZE.size):
                request = await reader.readexactly(*_SIZE.unpack(size))
                received.append(request)
                answer = request[4:8] + _ANSWERS[int.from_bytes(request[:2], "big")]
                writer.write(_SIZE.pack(len(answer)) + answer)
        finally:
            writer.close()
            await writer.wait_closed()
            served.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    one = connection(*server.sockets[0].getsockname())
    try:
        await one.connect()
        topics = [("t", [(0, bytearray(_LARGE)), (1, bytearray(b"small"))])]
        produce = ProduceRequest(transactional_id=None, required_acks=-1, timeout=1_000, topics=topics)
        fetch = FetchRequest(1, 1, 1, 0, [("t", [(0, 0, 1)])])
        produced, fetched = await asyncio.gather(one.send(produce), one.send(fetch))
    finally:
        await one.close()
        await served.wait()
        server.close()
        await server.wait_closed()
    ((_, (partition,)),) = fetched.topics
    return received, [produced.topics, partition[-1], one.connected()]
