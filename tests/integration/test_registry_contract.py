"""What we ask of a schema registry, of our development registry and of a real one alike."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from typer.testing import CliRunner

from infra.cli.contracts import schemas_app
from schemas import registry as registry_module
from schemas.codec import Codec, committed_subjects, committed_versions, load_schema, schema_text
from schemas.compatibility import level_of
from schemas.errors import ConfigurationError, SchemaIncompatible
from schemas.numbers import from_units
from schemas.records import Bar, Record
from schemas.registry import Registry
from schemas.topics import TOPICS
from tests.contract.golden import SUBJECTS, records_of

VERSIONS = [(subject, version) for subject in committed_subjects() for version in committed_versions(subject)]
OPTIONAL = {"name": "note", "doc": "A note.", "type": ["null", "string"], "default": None}
REQUIRED = {"name": "note", "doc": "A note.", "type": "string"}


@pytest.fixture
def registry(registry_url: str) -> Iterator[Registry]:
    """Our client."""
    with Registry(registry_url) as client:
        yield client


@pytest.fixture
def client(registry_url: str) -> Iterator[SchemaRegistryClient]:
    """The client that any consumer would use."""
    with SchemaRegistryClient({"url": registry_url, "timeout": 5}) as plain:
        yield plain


@pytest.fixture
def own_subject(monkeypatch: pytest.MonkeyPatch) -> str:
    """A subject that no other test knows; its version 2 needs a field that version 1 lacks."""
    subject = f"test.t{uuid.uuid4().hex}-value"
    first = {**load_schema("ops.alerts-value"), "namespace": subject.removesuffix("-value")}
    texts = {1: first, 2: {**first, "fields": [*first["fields"], REQUIRED]}}
    monkeypatch.setattr(
        registry_module,
        "schema_text",
        lambda name, n: json.dumps(texts[n]) if name == subject else schema_text(name, n),
    )
    return subject


def test_a_registered_schema_has_an_id_and_its_subjects_level(registry: Registry, client: SchemaRegistryClient) -> None:
    """Registering twice gives one id, by which the schema is found again; the level is enforced from then on."""
    for subject, version in VERSIONS:
        schema_id = registry.register(subject, version)
        assert registry.register(subject, version) == registry.schema_id(subject, version) == schema_id
        assert registry.schema(schema_id) == load_schema(subject, version)
        assert client.get_compatibility(subject) == level_of(subject).value


def test_a_breaking_version_is_refused(registry: Registry, own_subject: str) -> None:
    """The registry itself stops a version that older readers or writers cannot live with."""
    registry.register(own_subject, 1)
    with pytest.raises(SchemaIncompatible, match=own_subject):
        registry.register(own_subject, 2)
    found = registry.version(own_subject)
    assert found is not None
    assert found.version == 1


def test_what_is_not_registered_says_how_to_register_it(registry: Registry, own_subject: str) -> None:
    """A process that starts before the deploy step ends with what to do."""
    with pytest.raises(ConfigurationError, match="flashmm schemas register"):
        registry.schema_id(own_subject, 1)
    assert registry.version(own_subject) is None


def test_unknown_ids_are_nothing(registry: Registry) -> None:
    """An id or GUID that nobody registered is no error of the registry."""
    assert registry.schema(2_000_000_000) is None
    assert registry.schema(uuid.UUID(int=7).bytes) is None


def test_a_schema_is_found_by_its_guid(registry: Registry, client: SchemaRegistryClient) -> None:
    """Where a registry gives schemas a GUID, the header form of the wire format can be read."""
    registry.register("market.bars-value", 1)
    guid = client.lookup_schema("market.bars-value", Schema(schema_text("market.bars-value", 1), "AVRO")).guid
    if guid is None:
        pytest.skip("this registry gives no GUIDs")
    assert registry.schema(uuid.UUID(guid).bytes) == load_schema("market.bars-value")


def test_the_registry_judges_a_candidate_without_taking_it(registry: Registry, own_subject: str) -> None:
    """An optional field may come, a required one may not; a new subject has nothing to break."""
    candidate = load_schema("ops.alerts-value") | {"namespace": own_subject.removesuffix("-value")}
    assert registry.is_compatible(own_subject, candidate)
    registry.register(own_subject, 1)
    assert registry.is_compatible(own_subject, {**candidate, "fields": [*candidate["fields"], OPTIONAL]})
    assert not registry.is_compatible(own_subject, {**candidate, "fields": [*candidate["fields"], REQUIRED]})
    assert registry.subjects()[own_subject] == [1]


@pytest.mark.parametrize("subject", committed_subjects())
def test_a_plain_consumer_reads_every_topic_exactly(
    subject: str, registry: Registry, client: SchemaRegistryClient
) -> None:
    """confluent-kafka's own deserializer gives the same numbers, as exact decimals."""
    for version in committed_versions(subject):
        registry.register(subject, version)
    codec = registry.codec(SUBJECTS[subject])
    deserialize = AvroDeserializer(client)
    context = SerializationContext(subject.removesuffix("-value"), MessageField.VALUE)
    for record in records_of(subject, version):
        read: Any = deserialize(codec.encode(record), context)
        assert list(read) == [field["name"] for field in codec.schema["fields"]]
        for name, scale in decimals(codec):
            units = getattr(record, name)
            assert read[name] == (None if units is None else from_units(units, scale))


def test_we_read_what_a_plain_producer_writes(registry: Registry, client: SchemaRegistryClient) -> None:
    """confluent-kafka's own serializer, with auto-registration off, writes records that our codec reads."""
    registry.register("market.bars-value", 1)
    codec = registry.codec(Bar)
    schema = Schema(schema_text("market.bars-value", 1), "AVRO")
    context = SerializationContext("market.bars", MessageField.VALUE)
    read, written = AvroDeserializer(client), AvroSerializer(client, schema, conf={"auto.register.schemas": False})
    for record in records_of("market.bars-value", 1):
        value = written(read(codec.encode(record), context), context)
        assert value is not None
        assert codec.decode(value) == record


def decimals(codec: Codec) -> Iterator[tuple[str, int]]:
    """The decimal fields of a schema and their scales."""
    for field in codec.schema["fields"]:
        kind = field["type"][1] if isinstance(field["type"], list) else field["type"]
        if isinstance(kind, dict) and kind.get("logicalType") == "decimal":
            yield field["name"], kind["scale"]


def test_every_topic_has_its_codec(registry: Registry) -> None:
    """After the deploy step a process finds the ids of everything that it reads or writes."""
    records: list[type[Record]] = [topic.record for topic in TOPICS.values() if topic.record is not None]
    for subject, version in VERSIONS:
        registry.register(subject, version)
    assert len({registry.codec(record).schema_id for record in records}) == len(records)


def test_the_command_line_registers_and_compares(registry_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`flashmm schemas register` is idempotent, and afterwards nothing differs."""
    monkeypatch.setenv("FLASHMM_REGISTRY_URL", registry_url)
    runner = CliRunner()
    registered = json.loads(runner.invoke(schemas_app, ["register", "--json"]).stdout)
    assert [(row["subject"], row["version"]) for row in registered] == VERSIONS
    assert json.loads(runner.invoke(schemas_app, ["register", "--json"]).stdout) == registered
    listed = json.loads(runner.invoke(schemas_app, ["list", "--registry", "--json"]).stdout)
    assert [row["id"] for row in listed] == [row["id"] for row in registered]
    assert runner.invoke(schemas_app, ["check", "--registry"]).exit_code == 0
    diff = runner.invoke(schemas_app, ["diff", "market.ticks", "--json"])
    assert (diff.exit_code, json.loads(diff.stdout)["differences"]) == (0, [])
