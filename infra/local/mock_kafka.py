"""librdkafka's mock cluster as a Kafka to develop and test against. It is a MOCK.

The shared library inside confluent-kafka exports librdkafka's `rd_kafka_mock_*` functions (rdkafka_mock.h); they are
called here through ctypes. What the mock is not: a partition keeps its last 5 MiB or 100,000 batches, all in memory;
there is no compaction, no time retention, no topic configuration, no isolation of transactions, and no admin requests:
topics are created through this handle alone. Other topics come into being with 4 partitions when first used.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import json
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from ctypes import POINTER, c_char_p, c_int, c_int16, c_int32, c_int64, c_size_t, c_void_p
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

import confluent_kafka

from infra.local.ports import LOOPBACK, choose_port
from infra.local.relay import relay
from schemas.errors import ConfigurationError, ServiceUnavailable

__all__ = ["DESCRIPTION", "MockCluster", "main"]

DESCRIPTION = "mock (librdkafka's mock cluster: in memory, 5 MiB a partition, no compaction)"

_PRODUCER = 0
_ALREADY_EXISTS = 36
_ERROR_BYTES = 512
_BETWEEN_REQUESTS_S = 0.001

_SIGNATURES: Mapping[str, tuple[type | None, tuple[type, ...]]] = {
    "conf_new": (c_void_p, ()),
    "conf_set": (c_int, (c_void_p, c_char_p, c_char_p, c_char_p, c_size_t)),
    "conf_destroy": (None, (c_void_p,)),
    "new": (c_void_p, (c_int, c_void_p, c_char_p, c_size_t)),
    "destroy": (None, (c_void_p,)),
    "mock_cluster_new": (c_void_p, (c_void_p, c_int)),
    "mock_cluster_destroy": (None, (c_void_p,)),
    "mock_cluster_bootstraps": (c_char_p, (c_void_p,)),
    "mock_topic_create": (c_int, (c_void_p, c_char_p, c_int, c_int)),
    "mock_group_initial_rebalance_delay_ms": (None, (c_void_p, c_int32)),
    "mock_broker_set_rtt": (c_int, (c_void_p, c_int32, c_int)),
    "mock_broker_set_down": (c_int, (c_void_p, c_int32)),
    "mock_broker_set_up": (c_int, (c_void_p, c_int32)),
    "mock_broker_set_host_port": (c_int, (c_void_p, c_int32, c_char_p, c_int)),
    "mock_partition_delete_records": (c_int, (c_void_p, c_char_p, c_int32, c_int64)),
    "mock_push_request_errors_array": (None, (c_void_p, c_int16, c_size_t, POINTER(c_int))),
}


@cache
def _library() -> ctypes.CDLL:
    bundled = sorted(Path(confluent_kafka.__file__).parents[1].glob("confluent_kafka.libs/librdkafka*.so*"))
    library = ctypes.CDLL(str(bundled[0]) if bundled else "librdkafka.so.1")
    try:
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(library, f"rd_kafka_{name}")
            function.restype = result
            function.argtypes = arguments
    except AttributeError as error:
        raise ConfigurationError(
            "kafka", f"this librdkafka has no mock cluster: {error}", "Use the confluent-kafka wheel, or `--kafka jvm`"
        ) from None
    return library


class MockCluster:
    """A mock Kafka cluster inside this process.

    Args:
        brokers: How many brokers it pretends to have; their ids count from 1.
    """

    def __init__(self, brokers: int = 1) -> None:
        self._library = _library()
        self._brokers = brokers
        error = ctypes.create_string_buffer(_ERROR_BYTES)
        conf = self._library.rd_kafka_conf_new()
        self._library.rd_kafka_conf_set(conf, b"log_level", b"3", error, _ERROR_BYTES)
        self._handle = self._library.rd_kafka_new(_PRODUCER, conf, error, _ERROR_BYTES)
        if not self._handle:
            self._library.rd_kafka_conf_destroy(conf)
            raise ServiceUnavailable("mock Kafka", "this process", error.value.decode())
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._handle, brokers)
        if not self._cluster:
            self._library.rd_kafka_destroy(self._handle)
            raise ServiceUnavailable("mock Kafka", "this process", "the cluster could not be created")
        # A real broker waits for more members; here a group's first assignment would take 3 s.
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def bootstrap(self) -> str:
        """The bootstrap servers; ports are chosen by the library."""
        address = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        assert isinstance(address, bytes)
        return address.decode()

    def create_topic(self, name: str, partitions: int) -> None:
        """Create a topic; nothing happens where it exists.

        Raises:
            ConfigurationError: the cluster refuses it.
        """
        # The cluster's thread misses a request on the heels of another, until it looks again by itself: 1 s later.
        time.sleep(_BETWEEN_REQUESTS_S)
        code = self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)
        if code not in (0, _ALREADY_EXISTS):
            raise ConfigurationError("topic", f"{name!r} was refused with code {code}", "Choose another name")

    def set_round_trip(self, milliseconds: int) -> None:
        """Delay every answer of every broker."""
        for broker in range(1, self._brokers + 1):
            self._library.rd_kafka_mock_broker_set_rtt(self._cluster, broker, milliseconds)

    def set_down(self, *, is_down: bool) -> None:
        """Drop all connections and refuse new ones, or serve again; records are kept."""
        change = self._library.rd_kafka_mock_broker_set_down if is_down else self._library.rd_kafka_mock_broker_set_up
        for broker in range(1, self._brokers + 1):
            change(self._cluster, broker)

    def advertise(self, port: int) -> None:
        """Announce another loopback port for the first broker, e.g. that of a relay in front of it."""
        self._library.rd_kafka_mock_broker_set_host_port(self._cluster, 1, b"127.0.0.1", port)

    def trim(self, topic: str, partition: int, before_offset: int) -> None:
        """Delete the records of a partition below an offset."""
        self._library.rd_kafka_mock_partition_delete_records(self._cluster, topic.encode(), partition, before_offset)

    def fail_next(self, api_key: int, errors: Iterable[int]) -> None:
        """Answer the next requests of a kind with protocol error codes, one each (Kafka protocol guide)."""
        codes = list(errors)
        array = (c_int * len(codes))(*codes)
        self._library.rd_kafka_mock_push_request_errors_array(self._cluster, api_key, len(codes), array)

    def close(self) -> None:
        """End the cluster; its records are gone."""
        if self._cluster:
            self._library.rd_kafka_mock_cluster_destroy(self._cluster)
            self._library.rd_kafka_destroy(self._handle)
            self._cluster = self._handle = None


def main() -> None:
    """Host a mock cluster until SIGTERM or SIGINT, after one line of JSON with its bootstrap servers."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.mock_kafka", description=DESCRIPTION)
    parser.add_argument("--topics", default="", metavar="NAME:PARTITIONS,…", help="topics to create")
    parser.add_argument("--port", type=int, help="port on 127.0.0.1; the library chooses where it is not given")
    arguments = parser.parse_args()
    with MockCluster() as cluster:
        for entry in filter(None, arguments.topics.split(",")):
            name, _, partitions = entry.rpartition(":")
            cluster.create_topic(name, int(partitions))
        asyncio.run(_host(cluster, arguments.port))


async def _host(cluster: MockCluster, port: int | None) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with contextlib.AsyncExitStack() as stack:
        bootstrap = cluster.bootstrap
        if port is not None:
            server = await relay(choose_port("kafka", port), int(bootstrap.rpartition(":")[2]))
            stack.callback(server.close)
            cluster.advertise(port)
            bootstrap = f"{LOOPBACK}:{port}"
        sys.stdout.write(json.dumps({"bootstrap": bootstrap, "kafka": DESCRIPTION}) + "\n")
        sys.stdout.flush()
        await ended.wait()


if __name__ == "__main__":
    main()
