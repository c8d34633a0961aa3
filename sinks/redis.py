"""The Redis sink: latest values, hot ticks, bars, channels, health and metrics; see docs/redis.md for the keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import redis
from redis import exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from infra.runtime.settings import Settings
from schemas.errors import ConfigurationError, ServiceUnavailable, TransientError
from schemas.reasons import DeadLetterReason
from schemas.records import Book, Metric, Record
from sinks.connector import Refused
from sinks.decoding import Delivery
from sinks.plain import to_json
from sinks.redis_plan import Command, Plan
from sinks.vitals import Vitals

__all__ = ["HEALTH_KEY", "METRICS_KEY", "RedisConnector"]

HEALTH_KEY = "flashmm:health:status"
METRICS_KEY = "flashmm:metrics:realtime"

# When nobody writes any more, nobody may be taken for healthy.
_VITALS_TTL_S = 15
_VITALS_US = 1_000_000
_TIMEOUT_S = 5.0
# Answers of a server that will take the same command later.
_LATER = (
    "OOM",
    "> 'maxmemory'",
    "MISCONF",
    "LOADING",
    "BUSY",
    "READONLY",
    "TRYAGAIN",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "NOREPLICAS",
)


class RedisConnector:
    """Write records to one Redis server, 6.2 or later."""

    name = "redis"
    topics = (
        "market.trades",
        "market.quotes",
        "market.books",
        "market.bars",
        "trading.quotes",
        "trading.positions",
        "account.balances",
        "ops.alerts",
        "ops.metrics",
    )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._vitals = Vitals()
        self._vitals_us = 0
        self._plan = self._new_plan()
        self._counters = {"writes": 0, "publishes": 0, "refused": 0}
        url = settings.redis_url.get_secret_value()
        try:
            # The loop around us waits and tries again; the client must not do it a second time.
            self._client = redis.Redis.from_url(
                url,
                socket_timeout=_TIMEOUT_S,
                socket_connect_timeout=_TIMEOUT_S,
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError as error:
            raise ConfigurationError("REDIS_URL", str(error), "Write it as redis://host:port/database") from error
        options = self._client.connection_pool.connection_kwargs
        self._address = str(options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}")

    def open(self) -> None:
        """Check that the server answers.

        Raises:
            ServiceUnavailable: it does not.
            ConfigurationError: it refuses our credentials.
        """
        try:
            self._client.ping()
        except exceptions.RedisError as error:
            raise self._failure(error) from error

    def add(self, record: Record, delivery: Delivery) -> None:
        """Take a record for the next flush."""
        match record:
            case Metric():
                self._vitals.see_metric(record)
            case Book():
                self._vitals.see_book(record)
        self._plan.add(record, delivery)

    def flush(self, now_us: int) -> Sequence[Refused]:
        """Write what was added, and once a second health and metrics.

        Raises:
            ServiceUnavailable: the server does not answer, or takes no writes now.
            ConfigurationError: it refuses our credentials.
        """
        commands = self._plan.commands()
        has_vitals = now_us - self._vitals_us >= _VITALS_US
        if has_vitals:
            commands += self._vitals_commands(now_us)
        refused = self._execute(commands) if commands else ()
        self._plan = self._new_plan()
        if has_vitals:
            self._vitals_us = now_us
        return refused

    def counters(self) -> Mapping[str, int]:
        """Give how many commands wrote, published and were refused."""
        return self._counters

    def close(self) -> None:
        """Disconnect."""
        self._client.close()

    def _new_plan(self) -> Plan:
        return Plan(self._settings.primary_venue, self._settings.hot_ticks)

    def _vitals_commands(self, now_us: int) -> list[Command]:
        health, metrics = to_json(self._vitals.health(now_us)), to_json(self._vitals.realtime(now_us))
        return [
            Command(("SET", HEALTH_KEY, health, "EX", _VITALS_TTL_S), ()),
            Command(("SET", METRICS_KEY, metrics, "EX", _VITALS_TTL_S), ()),
        ]

    def _execute(self, commands: Sequence[Command]) -> list[Refused]:
        pipeline: Any = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command.arguments)
        try:
            answers: list[Any] = pipeline.execute(raise_on_error=False)
        except exceptions.RedisError as error:
            raise self._failure(error) from error
        failed = [(command, answer) for command, answer in zip(commands, answers, strict=True) if _is_error(answer)]
        for _, answer in failed:
            if _is_for_all(answer):
                raise self._failure(answer)
        publishes = sum(command.is_publish for command in commands)
        self._counters["publishes"] += publishes
        self._counters["writes"] += len(commands) - publishes - len(failed)
        refused = {d: str(answer) for command, answer in failed for d in command.deliveries}
        self._counters["refused"] += len(refused)
        return [Refused(delivery, DeadLetterReason.REFUSED, f"Redis: {why}") for delivery, why in refused.items()]

    def _failure(self, error: Exception) -> TransientError | ConfigurationError:
        if _is_credentials(error):
            return ConfigurationError(
                "REDIS_URL", f"Redis at {self._address} refuses our credentials: {error}", "Correct user and password"
            )
        return ServiceUnavailable("Redis", self._address, str(error), fix="Start it (`flashmm up`), or set REDIS_URL")


def _is_error(answer: object) -> bool:
    return isinstance(answer, Exception)


def _is_credentials(error: Exception) -> bool:
    kinds = (exceptions.AuthenticationError, exceptions.AuthorizationError, exceptions.NoPermissionError)
    return isinstance(error, kinds)


def _is_for_all(error: Exception) -> bool:
    """Tell an answer about the server from one about the command."""
    if isinstance(error, exceptions.ConnectionError) or _is_credentials(error):
        return True
    kinds = (
        exceptions.ReadOnlyError,
        exceptions.TryAgainError,
        exceptions.ClusterDownError,
        exceptions.MasterDownError,
    )
    return isinstance(error, kinds) or any(code in str(error) for code in _LATER)
