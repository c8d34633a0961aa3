"""`flashmm schemas` and `flashmm topics`: the contracts as committed, as registered and as created."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from infra.cli.output import ExitCode, print_json, print_table, progress
from infra.runtime.settings import load_settings
from infra.runtime.topics import create_topics
from schemas.codec import Json, committed_subjects, committed_versions, load_schema, schema_text
from schemas.compatibility import check as compatibility_problems
from schemas.compatibility import is_released, level_of, lock_problems
from schemas.errors import ConfigurationError, ServiceUnavailable
from schemas.lint import lint
from schemas.registry import Registry
from schemas.topics import TOPICS, Topic

__all__ = ["schemas_app", "topics_app", "topics_markdown"]

schemas_app = typer.Typer(help="The Avro schemas of the topics.", no_args_is_help=True)
topics_app = typer.Typer(help="The Kafka topics.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
AskRegistry = Annotated[bool, typer.Option("--registry", help="Ask the registry too (FLASHMM_REGISTRY_URL).")]
Subject = Annotated[str, typer.Argument(help="A subject, or its topic: market.ticks-value or market.ticks.")]

_BROKER_TIMEOUT_S = 5.0
_DAY_MS = 86_400_000


@schemas_app.command("list")
def list_schemas(as_json: AsJson = False, registry: AskRegistry = False) -> None:
    """List the committed schemas, their compatibility levels, and with --registry their ids there."""
    rows: list[dict[str, Any]] = [
        {
            "subject": subject,
            "version": version,
            "status": "released" if is_released(subject, version) else "draft",
            "compatibility": level_of(subject).value,
        }
        for subject in committed_subjects()
        for version in committed_versions(subject)
    ]
    if registry:
        with _registry() as client:
            for row in rows:
                row["id"] = _registered_id(client, row["subject"], row["version"])
    if as_json:
        print_json(rows)
    else:
        shown = [["-" if value is None else value for value in row.values()] for row in rows]
        print_table(list(rows[0]), shown, title="Schemas")


@schemas_app.command("show")
def show_schema(
    subject: Subject,
    version: Annotated[int | None, typer.Option(help="Version; the newest where none is named.")] = None,
) -> None:
    """Print a committed schema."""
    print(_text(_subject(subject), version), end="")


@schemas_app.command("check")
def check_schemas(as_json: AsJson = False, registry: AskRegistry = False) -> None:
    """Check lint, compatibility with all versions before, and that nothing released was changed."""
    problems = [*_offline_problems()]
    if registry:
        with _registry() as client:
            problems += _registry_problems(client)
    checked = sum(len(committed_versions(subject)) for subject in committed_subjects())
    if as_json:
        print_json({"checked": checked, "problems": problems})
    else:
        for problem in problems:
            print(problem)
        print(f"{checked} schemas checked, {len(problems)} problems")
    if problems:
        raise typer.Exit(ExitCode.ERROR)


def _offline_problems() -> Iterator[str]:
    for subject in committed_subjects():
        for version in committed_versions(subject):
            schema = load_schema(subject, version)
            for problem in lint(schema) + compatibility_problems(subject, schema, below=version):
                yield f"{subject} v{version}: {problem}"
    yield from lock_problems()


def _registry_problems(client: Registry) -> Iterator[str]:
    for subject in committed_subjects():
        if not client.is_compatible(subject, load_schema(subject)):
            yield f"{subject}: the registry at {client.url} finds the newest version incompatible with those it has"


@schemas_app.command("register")
def register_schemas(as_json: AsJson = False) -> None:
    """Register every committed schema and its compatibility level; what is registered already stays as it is."""
    progress("registering")
    with _registry() as client:
        rows = [
            {"subject": subject, "version": version, "id": client.register(subject, version)}
            for subject in committed_subjects()
            for version in committed_versions(subject)
        ]
        url = client.url
    if as_json:
        print_json(rows)
    else:
        print_table(list(rows[0]), [list(row.values()) for row in rows], title=f"Registered at {url}")


@schemas_app.command("diff")
def diff_schema(subject: Subject, as_json: AsJson = False) -> None:
    """Compare the newest committed schema with the newest that the registry has; exit code 1 where they differ."""
    name = _subject(subject)
    with _registry() as client:
        registered = client.version(name)
        url = client.url
    if registered is None:
        problem = f"the registry at {url} does not have {name}"
        raise ConfigurationError("FLASHMM_REGISTRY_URL", problem, "Run `flashmm schemas register`")
    differences = list(_differences(registered.schema, load_schema(name)))
    committed = committed_versions(name)[-1]
    if as_json:
        versions = {"committed": committed, "registered": registered.version, "id": registered.schema_id}
        print_json({"subject": name, **versions, "differences": differences})
    else:
        print(f"{name}: registered version {registered.version} (id {registered.schema_id}), committed v{committed}")
        for difference in differences or ["no difference"]:
            print(f"  {difference}")
    if differences:
        raise typer.Exit(ExitCode.ERROR)


def _differences(registered: Json, committed: Json) -> Iterator[str]:
    if not isinstance(registered, dict) or registered.get("type") != "record":
        yield "what is registered is not a record"
        return
    theirs = {field["name"]: field for field in registered["fields"]}
    ours = {field["name"]: field for field in committed["fields"]}
    for name in theirs.keys() - ours.keys():
        yield f"- {name}: only registered"
    for name, field in ours.items():
        if name not in theirs:
            yield f"+ {name}: only committed"
            continue
        for key in sorted(field.keys() | theirs[name].keys()):
            if field.get(key) != theirs[name].get(key):
                yield f"~ {name}.{key}: {theirs[name].get(key)!r} registered, {field.get(key)!r} committed"
    if list(theirs) != list(ours) and theirs.keys() == ours.keys():
        yield "~ the order of the fields"


def _registry() -> Registry:
    return Registry(load_settings().registry_url)


def _registered_id(client: Registry, subject: str, version: int) -> int | None:
    try:
        return client.schema_id(subject, version)
    except ConfigurationError:
        return None


def _subject(name: str) -> str:
    subject = name if name.endswith("-value") else f"{name}-value"
    if subject not in committed_subjects():
        raise typer.BadParameter(f"no subject {name!r}; `flashmm schemas list` shows them")
    return subject


def _text(subject: str, version: int | None) -> str:
    versions = committed_versions(subject)
    if version is not None and version not in versions:
        raise typer.BadParameter(f"{subject} has the versions {', '.join(map(str, versions))}")
    return schema_text(subject, version or versions[-1])


@topics_app.command("list")
def list_topics(
    as_json: AsJson = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print docs/topics.md.")] = False,
) -> None:
    """List the topic catalogue under the topic prefix of the settings."""
    if markdown:
        print(topics_markdown(), end="")
        return
    settings = load_settings()
    rows = [_row(topic, settings.topic_prefix, settings.kafka_partitions) for topic in TOPICS.values()]
    if as_json:
        print_json(rows)
    else:
        columns = ["topic", "record", "kept", "key"]
        print_table(columns, [[row[column] or "-" for column in columns] for row in rows], title="Topics")


@topics_app.command("create")
def create(as_json: AsJson = False) -> None:
    """Create the topics that the broker does not have yet; refuse where one has another number of partitions."""
    settings = load_settings()
    _check_broker(settings.kafka_bootstrap)
    created = create_topics(
        settings.kafka_bootstrap, partitions=settings.kafka_partitions, prefixes=(settings.topic_prefix,)
    )
    there = [topic.full_name(settings.topic_prefix) for topic in TOPICS.values()]
    kept = [name for name in there if name not in created]
    if as_json:
        print_json({"created": created, "existed": kept, "partitions": settings.kafka_partitions})
    else:
        rows = [(name, "created" if name in created else "was there") for name in there]
        print_table(["topic", ""], rows, title=f"Topics at {settings.kafka_bootstrap}")


def _check_broker(bootstrap: str) -> None:
    try:
        AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}).list_topics(timeout=_BROKER_TIMEOUT_S)
    except KafkaException as error:
        detail = f"{error.args[0].str()} after {_BROKER_TIMEOUT_S:.0f} s"
        fix = "Start it (`flashmm up`), or set FLASHMM_KAFKA_BOOTSTRAP"
        raise ServiceUnavailable("Kafka", bootstrap, detail, fix=fix) from error


def topics_markdown() -> str:
    """Give `docs/topics.md`: the catalogue as a page."""
    lines = [
        "# Topics",
        "",
        "Written by `flashmm topics list --markdown` from `schemas/topics.py`. Every topic has",
        "`FLASHMM_KAFKA_PARTITIONS` partitions. Keys are UTF-8, their parts joined by `|`; `group` is the market's",
        "group, by default its base asset. `FLASHMM_TOPIC_PREFIX` goes before every name but those marked *shared*.",
        "",
        "While the broker is slow, a worker gives each priority eight times the bytes of the next lower one.",
        "",
        "| topic | key | record | priority | kept | what |",
        "|---|---|---|---|---|---|",
    ]
    for topic in TOPICS.values():
        row = _row(topic, "", None)
        name = f"`{row['topic']}`" + ("" if topic.is_output else " (shared)")
        record = f"`{row['record']}`" if row["record"] else "bytes"
        key = row["key"].replace("|", "\\|")
        lines.append(f"| {name} | {key} | {record} | {row['priority']} | {row['kept']} | {row['what']} |")
    return "\n".join(lines) + "\n"


def _kept(topic: Topic) -> str:
    if topic.is_compacted:
        return "compacted"
    days = topic.retention_ms // _DAY_MS
    return "for ever" if days < 0 else f"{days} day{'s' * (days > 1)}"


def _row(topic: Topic, prefix: str, partitions: int | None) -> dict[str, Any]:
    return {
        "topic": topic.full_name(prefix),
        "key": topic.key,
        "record": topic.record.__name__ if topic.record else None,
        "subject": topic.subject,
        "partitions": partitions,
        "priority": topic.priority.name,
        "kept": _kept(topic),
        "config": topic.broker_config(),
        "what": topic.doc,
    }
