"""The schema registry: any one that speaks Confluent's API, through confluent-kafka's client.

Registration is a deploy step (`flashmm schemas register`), never a side effect of writing: a process looks up the ids
of the committed schemas when it starts and stops if they are not there.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from schemas.codec import Codec, Json, SchemaId, committed_versions, schema_text
from schemas.compatibility import level_of
from schemas.errors import ConfigurationError, SchemaIncompatible, ServiceUnavailable
from schemas.records import Record
from schemas.topics import topic_of

__all__ = ["RegisteredSchema", "Registry"]

_NOT_FOUND, _CONFLICT, _UNPROCESSABLE = 404, 409, 422
_FIX = "Start it (`flashmm up`), or set FLASHMM_REGISTRY_URL"
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class RegisteredSchema:
    """One version of a subject, as the registry has it."""

    subject: str
    version: int
    schema_id: int
    schema: Json


class Registry:
    """A client of one registry. Its methods raise ServiceUnavailable where the registry does not answer as it should.

    Args:
        url: Base address, e.g. `http://127.0.0.1:8081` or Apicurio's `…/apis/ccompat/v7`.
        timeout_s: Longest wait for one answer; it is asked twice.

    Raises:
        ConfigurationError: the address is not one.
    """

    def __init__(self, url: str, *, timeout_s: float = 5.0) -> None:
        self.url = url
        config = {"url": url, "timeout": timeout_s, "max.retries": 1, "retries.wait.ms": 100}
        try:
            self._client = SchemaRegistryClient(config)
        except ValueError as error:
            raise ConfigurationError(
                "FLASHMM_REGISTRY_URL", f"{url!r}: {error}", "Give an http or https URL"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to the registry."""
        self._client.close()

    def register(self, subject: str, version: int) -> int:
        """Register a committed version, set its subject's compatibility level, and give its id.

        Registering it again changes nothing and gives the same id.

        Raises:
            SchemaIncompatible: the registry finds that it breaks the subject's level.
        """
        try:
            schema_id = int(self._call(self._client.register_schema, subject, _avro(subject, version)))
        except SchemaRegistryError as error:
            if error.http_status_code not in (_CONFLICT, _UNPROCESSABLE):
                raise self._unavailable(error) from error
            against = f"the versions at {self.url}"
            raise SchemaIncompatible(f"{subject} v{version}", against, [error.error_message]) from error
        self._ask(self._client.set_compatibility, subject, level_of(subject).value)
        return schema_id

    def schema_id(self, subject: str, version: int) -> int:
        """Look up the id of a committed version.

        Raises:
            ConfigurationError: it is not registered.
        """
        found = self._ask(self._client.lookup_schema, subject, _avro(subject, version))
        if found is None:
            raise ConfigurationError(
                "FLASHMM_REGISTRY_URL",
                f"the registry at {self.url} does not have {subject} v{version}",
                "Run `flashmm schemas register`",
            )
        return int(found.schema_id)

    def schema(self, schema_id: SchemaId) -> Json | None:
        """Give the schema of an id (or GUID, as its 16 bytes); None where the registry does not know it."""
        if isinstance(schema_id, bytes):
            found = self._ask(self._client.get_schema_by_guid, str(uuid.UUID(bytes=schema_id)))
        else:
            found = self._ask(self._client.get_schema, schema_id)
        return None if found is None else _parsed(found.schema_str)

    def codec(self, record: type[Record]) -> Codec:
        """Build the codec of a record, with the registered ids of all its committed versions.

        Raises:
            ConfigurationError: one of them is not registered.
        """
        subject = topic_of(record).subject
        assert subject is not None
        versions = committed_versions(subject)
        codec = Codec(record, self.schema_id(subject, versions[-1]))
        for version in versions[:-1]:
            codec.add_committed(self.schema_id(subject, version), version)
        return codec

    def subjects(self) -> dict[str, list[int]]:
        """List the subjects and their versions."""
        names = self._ask(self._client.get_subjects) or []
        return {name: self._ask(self._client.get_versions, name) or [] for name in sorted(names)}

    def version(self, subject: str, version: int | None = None) -> RegisteredSchema | None:
        """Give a version of a subject, the newest where none is named; None where the registry lacks it."""
        if version is None:
            found = self._ask(self._client.get_latest_version, subject)
        else:
            found = self._ask(self._client.get_version, subject, version)
        if found is None:
            return None
        return RegisteredSchema(subject, int(found.version), int(found.schema_id), _parsed(found.schema.schema_str))

    def is_compatible(self, subject: str, candidate: Json) -> bool:
        """Tell whether the registry would take a schema as the subject's next version; true for a new subject."""
        schema = Schema(json.dumps(candidate), "AVRO")
        answer = self._ask(self._client.test_compatibility_all_versions, subject, schema)
        return answer is None or bool(answer)

    def _ask(self, function: Callable[..., _Result], *args: object) -> _Result | None:
        """Call the client; None where the registry says that there is no such thing."""
        try:
            return self._call(function, *args)
        except SchemaRegistryError as error:
            if error.http_status_code == _NOT_FOUND:
                return None
            raise self._unavailable(error) from error

    def _call(self, function: Callable[..., _Result], *args: object) -> _Result:
        try:
            return function(*args)
        except SchemaRegistryError:
            raise
        except Exception as error:
            # The client lets the errors of its HTTP library through, and those of answers that are no registry's.
            detail = str(error) or type(error).__name__
            raise ServiceUnavailable("schema registry", self.url, detail, fix=_FIX) from error

    def _unavailable(self, error: SchemaRegistryError) -> ServiceUnavailable:
        detail = f"HTTP {error.http_status_code}: {error.error_message}"
        return ServiceUnavailable("schema registry", self.url, detail, fix=_FIX)


def _avro(subject: str, version: int) -> Any:
    return Schema(schema_text(subject, version), "AVRO")


def _parsed(text: str) -> Json | None:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return None  # a schema of another kind, e.g. Protobuf, or none at all
