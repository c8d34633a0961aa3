"""The schema registry: any one that speaks Confluent's API, through confluent-kafka's client.

Registration is a deploy step (`flashmm schemas register`), never a side effect of writing: a process looks up the ids of
the committed schemas when it starts and stops if they are not there.
"""

from __future__ import annotations

import json
import uuid
from typing import Self

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from schemas.codec import Codec, Json, committed_versions, schema_text
from schemas.errors import ConfigurationError, ServiceUnavailable
from schemas.records import Record
from schemas.topics import topic_of

__all__ = ["Registry"]


_NOT_FOUND = 404


class Registry:
    """A client of one registry.

    Args:
        url: Base address, e.g. `http://127.0.0.1:8081` or Apicurio's `…/apis/ccompat/v7`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = SchemaRegistryClient({"url": url, "timeout": 10})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to the registry."""
        self._client.close()

    def register(self, subject: str, version: int) -> int:
        """Register a committed version and give its id; registering it again gives the same id."""
        return int(self._call(self._client.register_schema, subject, Schema(schema_text(subject, version), "AVRO")))

    def schema_id(self, subject: str, version: int) -> int:
        """Look up the id of a committed version.

        Raises:
            ConfigurationError: it is not registered.
            ServiceUnavailable: the registry does not answer.
        """
        try:
            found = self._call(self._client.lookup_schema, subject, Schema(schema_text(subject, version), "AVRO"))
        except SchemaRegistryError as error:
            raise ConfigurationError(
                "FLASHMM_REGISTRY_URL",
                f"the registry at {self.url} does not have {subject} v{version}: {error.error_message}",
                "Run `flashmm schemas register`",
            ) from error
        return int(found.schema_id)

    def schema(self, schema_id: int | bytes) -> Json | None:
        """Give the schema of an id (or GUID, as its 16 bytes); None where the registry does not know it.

        Raises:
            ServiceUnavailable: the registry does not answer.
        """
        try:
            if isinstance(schema_id, bytes):
                found = self._call(self._client.get_schema_by_guid, str(uuid.UUID(bytes=schema_id)))
            else:
                found = self._call(self._client.get_schema, schema_id)
        except SchemaRegistryError as error:
            if error.http_status_code == _NOT_FOUND:
                return None
            raise ServiceUnavailable("schema registry", self.url, str(error.error_message)) from error
        try:
            return json.loads(found.schema_str)
        except json.JSONDecodeError:
            return None  # a schema of another type, e.g. Protobuf

    def codec(self, record: type[Record]) -> Codec:
        """Build the codec of a record, with the registered ids of all its committed versions."""
        subject = topic_of(record).subject
        assert subject is not None
        versions = committed_versions(subject)
        codec = Codec(record, self.schema_id(subject, versions[-1]))
        for version in versions[:-1]:
            codec.add_committed(self.schema_id(subject, version), version)
        return codec

    def _call(self, function, *args):  # type: ignore[no-untyped-def]
        try:
            return function(*args)
        except SchemaRegistryError:
            raise
        except Exception as error:  # noqa: BLE001  the client lets its HTTP library's errors through
            raise ServiceUnavailable(
                "schema registry", self.url, str(error), fix="Start it, or set FLASHMM_REGISTRY_URL"
            ) from error
