"""What `flashmm doctor` examines: programs on this machine, and the services that the settings name."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version

import redis
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from infra.local.influxd import find_influxd
from infra.local.java import find_java, java_version
from infra.local.redis import find_redis
from infra.local.service import answers
from infra.runtime.settings import Settings
from schemas.codec import committed_versions
from schemas.errors import ConfigurationError, FlashMMError
from schemas.registry import Registry
from schemas.topics import TOPICS

__all__ = ["Health", "Row", "examine"]

_TIMEOUT_S = 3.0
_KAFKA_JAVA = 17
_APICURIO_JAVA = 21
_START = "start the local services with `flashmm up`"


class Health(StrEnum):
    """How a check went."""

    OK = "ok"
    WARN = "warn"
    """Something is missing that only part of the platform needs."""
    FAIL = "fail"
    """Something that is needed, or that the settings name, does not work."""
    SKIP = "skip"
    """Not examined, because nothing says that it should be there."""


@dataclass(frozen=True, slots=True)
class Row:
    """One check."""

    check: str
    health: Health
    detail: str


def examine(settings: Settings) -> list[Row]:
    """Examine the machine, then every service that the settings name."""
    return [*_programs(), *_services(settings)]


def _programs() -> Iterator[Row]:
    yield Row("python", Health.OK, platform.python_version())
    try:
        yield Row("torch", Health.OK, version("torch"))
    except PackageNotFoundError:
        yield Row("torch", Health.WARN, "not installed: quotes are model-free (`pip install flashmm[model]`)")
    yield _java("java", _KAFKA_JAVA, "`--kafka jvm`")
    yield _java("java for Apicurio", _APICURIO_JAVA, "`--registry apicurio`")
    maven = shutil.which("mvn")
    yield Row("maven", Health.OK if maven else Health.WARN, maven or "not on PATH: needed once, to fetch Java services")
    try:
        path, what = find_redis()
        yield Row("redis-server", Health.OK, f"{what}: {path}")
    except ConfigurationError as error:
        yield Row("redis-server", Health.FAIL, str(error))
    influxd = find_influxd()
    yield (
        Row("influxd", Health.OK, influxd)
        if influxd
        else Row("influxd", Health.WARN, "not here: the embedded stack uses a stand-in that keeps no points")
    )


def _java(check: str, minimum: int, needed_for: str) -> Row:
    try:
        java = find_java(minimum)
    except ConfigurationError as error:
        return Row(check, Health.WARN, f"needed for {needed_for}: {error.problem}")
    return Row(check, Health.OK, f"{java_version(java)}: {java}")


def _services(settings: Settings) -> Iterator[Row]:
    checks: tuple[tuple[str, str, str, Callable[[Settings], str]], ...] = (
        ("kafka", "kafka_bootstrap", settings.kafka_bootstrap, _kafka),
        ("registry", "registry_url", settings.registry_url, _registry),
        ("redis", "redis_url", settings.redis_url.get_secret_value().rpartition("@")[2], _redis),
        ("influx", "influxdb_url", settings.influxdb_url, _influx),
    )
    for name, field, address, check in checks:
        try:
            yield Row(name, Health.OK, f"{address}: {check(settings)}")
        except ConfigurationError as error:
            yield Row(name, Health.FAIL, str(error))
        except (KafkaException, redis.RedisError, FlashMMError, OSError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            if field in settings.model_fields_set:
                yield Row(name, Health.FAIL, f"{address} does not answer: {reason}")
            else:
                yield Row(name, Health.SKIP, f"nothing at {address}; {_START}")


def _kafka(settings: Settings) -> str:
    client = AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 0})
    topics = client.list_topics(timeout=_TIMEOUT_S).topics
    wanted = [topic.full_name(settings.topic_prefix) for topic in TOPICS.values()]
    missing = [name for name in wanted if name not in topics]
    if missing:
        raise ConfigurationError(
            "FLASHMM_KAFKA_BOOTSTRAP",
            f"{settings.kafka_bootstrap} lacks {len(missing)} of {len(wanted)} topics, first {missing[0]}",
            "Run `flashmm topics create`",
        )
    return f"{len(wanted)} topics"


def _registry(settings: Settings) -> str:
    subjects = [topic.subject for topic in TOPICS.values() if topic.subject is not None]
    with Registry(settings.registry_url) as client:
        for subject in subjects:
            client.schema_id(subject, committed_versions(subject)[-1])
    return f"{len(subjects)} subjects"


def _redis(settings: Settings) -> str:
    with redis.Redis.from_url(settings.redis_url.get_secret_value(), socket_timeout=_TIMEOUT_S) as client:
        return f"version {client.info('server')['redis_version']}"


def _influx(settings: Settings) -> str:
    if not answers(f"{settings.influxdb_url.rstrip('/')}/health"):
        raise OSError("no answer from /health")
    if not settings.influxdb_token.get_secret_value():
        raise ConfigurationError(
            "INFLUXDB_TOKEN", "is not set", "Set one that may write; `flashmm up` puts it into stack.env"
        )
    return "healthy"
