"""What a schema registry knows and decides, in memory: subjects, versions, ids and compatibility levels."""

from __future__ import annotations

import hashlib
import json
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from schemas.codec import Json
from schemas.errors import ContractError
from schemas.resolution import read_problems

__all__ = ["Level", "Mode", "Refusal", "RegistryStore", "Version"]

_ID_BITS = 31


class Level(StrEnum):
    """Which versions a new one must be compatible with, and in which direction (Confluent's levels)."""

    NONE = "NONE"
    BACKWARD = "BACKWARD"
    BACKWARD_TRANSITIVE = "BACKWARD_TRANSITIVE"
    FORWARD = "FORWARD"
    FORWARD_TRANSITIVE = "FORWARD_TRANSITIVE"
    FULL = "FULL"
    FULL_TRANSITIVE = "FULL_TRANSITIVE"

    @property
    def new_reads_old(self) -> bool:
        """Whether a reader with the new schema must understand what is already written."""
        return self.value.startswith(("BACKWARD", "FULL"))

    @property
    def old_reads_new(self) -> bool:
        """Whether readers with older schemas must understand what will be written."""
        return self.value.startswith(("FORWARD", "FULL"))

    @property
    def is_transitive(self) -> bool:
        """Whether all versions count, not only the latest."""
        return self.value.endswith("_TRANSITIVE")


class Mode(StrEnum):
    """Whether versions may be registered and deleted."""

    READWRITE = "READWRITE"
    READONLY = "READONLY"


class Refusal(ContractError):
    """An answer that is an error of the Confluent API, with its HTTP status and its own code."""

    def __init__(self, status: int, code: int, message: str) -> None:
        self.status = status
        self.code = code
        self.message = message
        super().__init__(f"{code}: {message}")


@dataclass(slots=True)
class Version:
    """One version of a subject."""

    subject: str
    number: int
    schema_id: int
    text: str
    identity: str
    is_deleted: bool = False

    @property
    def guid(self) -> str:
        """The id of its content that is the same in every registry of ours."""
        return str(uuid.UUID(bytes=hashlib.sha256(self.identity.encode()).digest()[:16]))


@dataclass(slots=True)
class _Subject:
    versions: list[Version] = field(default_factory=list)
    level: Level | None = None
    mode: Mode | None = None

    def live(self) -> list[Version]:
        return [version for version in self.versions if not version.is_deleted]


class RegistryStore:
    """A registry's state; its methods may be called from several threads.

    A schema's id is made of its content, so the same schema has the same id in every development registry, whatever
    was registered before it, and records kept from an earlier run stay readable.
    """

    def __init__(self, level: Level = Level.FULL_TRANSITIVE) -> None:
        self._lock = threading.RLock()
        self._subjects: dict[str, _Subject] = {}
        self._texts: dict[int, str] = {}
        self._identities: dict[int, str] = {}
        self._default_level = level
        self._level = level
        self._mode = Mode.READWRITE

    def register(self, subject: str, text: str) -> Version:
        """Add a version, or find the one that has the same content.

        Raises:
            Refusal: 42201 no Avro schema, 409 not compatible, 42205 read-only.
        """
        document = _parse(text)
        identity = _identity(document)
        with self._lock:
            state = self._subjects.setdefault(subject, _Subject())
            for version in state.live():
                if version.identity == identity:
                    return version
            self._demand_writable(subject)
            problems = self._problems(document, state.live(), self.level(subject))
            if problems:
                raise Refusal(409, 409, f"Schema is not compatible with {subject}: {'; '.join(problems)}")
            number = state.versions[-1].number + 1 if state.versions else 1
            version = Version(subject, number, self._assign_id(identity, text), text, identity)
            state.versions.append(version)
            return version

    def lookup(self, subject: str, text: str, *, deleted: bool = False) -> Version:
        """Find the version of a subject with this content.

        Raises:
            Refusal: 40401 no such subject, 40403 no such version, 42201 no Avro schema.
        """
        identity = _identity(_parse(text))
        with self._lock:
            for version in self._versions(subject, deleted=deleted):
                if version.identity == identity:
                    return version
        raise Refusal(404, 40403, "Schema not found")

    def subjects(self, *, deleted: bool = False, prefix: str = "") -> list[str]:
        """List the subjects that have a version."""
        with self._lock:
            return sorted(
                name
                for name, state in self._subjects.items()
                if (state.versions if deleted else state.live()) and name.startswith(prefix)
            )

    def versions(self, subject: str, *, deleted: bool = False) -> list[int]:
        """List the version numbers of a subject.

        Raises:
            Refusal: 40401 no such subject.
        """
        with self._lock:
            return [version.number for version in self._versions(subject, deleted=deleted)]

    def version(self, subject: str, number: str, *, deleted: bool = False) -> Version:
        """Give a version by its number, `latest` or `-1`.

        Raises:
            Refusal: 40401 no such subject, 40402 no such version, 42202 no version number.
        """
        with self._lock:
            found = self._versions(subject, deleted=deleted)
            if number in ("latest", "-1"):
                return found[-1]
            if not number.isdecimal() or not 1 <= int(number) < 2**_ID_BITS:
                raise Refusal(422, 42202, f"The specified version '{number[:32]}' is not a valid version id")
            for version in found:
                if version.number == int(number):
                    return version
        raise Refusal(404, 40402, f"Version {number} not found")

    def by_id(self, schema_id: int) -> str:
        """Give a schema's text by its id.

        Raises:
            Refusal: 40403 no such id.
        """
        with self._lock:
            text = self._texts.get(schema_id)
        if text is None:
            raise Refusal(404, 40403, f"Schema {schema_id} not found")
        return text

    def by_guid(self, guid: str) -> Version:
        """Give the first version with a content by its GUID.

        Raises:
            Refusal: 40403 no such GUID.
        """
        for version in self._everything():
            if version.guid == guid.lower():
                return version
        raise Refusal(404, 40403, f"Schema {guid[:64]} not found")

    def uses(self, schema_id: int, *, deleted: bool = False) -> list[Version]:
        """List the versions that have an id, by subject.

        Raises:
            Refusal: 40403 no such id.
        """
        self.by_id(schema_id)
        return [v for v in self._everything() if v.schema_id == schema_id and (deleted or not v.is_deleted)]

    def delete(self, subject: str, number: str | None = None, *, permanent: bool = False) -> list[int]:
        """Delete one version or all, first softly, then for good; gives the numbers deleted.

        Raises:
            Refusal: 40401, 40402 or 42202 nothing there, 40405 or 40407 not softly deleted yet, 42205 read-only.
        """
        with self._lock:
            self._demand_writable(subject)
            if number is None:
                doomed = self._versions(subject, deleted=permanent)
            else:
                doomed = [self.version(subject, number, deleted=permanent)]
            if permanent:
                if not all(version.is_deleted for version in doomed):
                    code = 40405 if number is None else 40407
                    raise Refusal(404, code, f"{subject} was not deleted first before being permanently deleted")
                state = self._subjects[subject]
                state.versions = [version for version in state.versions if version not in doomed]
            for version in doomed:
                version.is_deleted = True
            return [version.number for version in doomed]

    def compatibility(self, subject: str, text: str, number: str | None = None) -> list[str]:
        """Say what makes a schema incompatible with one version, or with all that the level demands.

        Raises:
            Refusal: 42201 no Avro schema; for a version also 40401, 40402, 42202.
        """
        document = _parse(text)
        with self._lock:
            if number is not None:
                return self._problems(document, [self.version(subject, number)], self.level(subject))
            return self._problems(document, self._subjects.get(subject, _Subject()).live(), self.level(subject))

    def level(self, subject: str | None = None) -> Level:
        """The level in force for a subject, or the global one."""
        with self._lock:
            return self.own_level(subject) or self._level if subject is not None else self._level

    def own_level(self, subject: str) -> Level | None:
        """The level that a subject has of its own."""
        with self._lock:
            return self._subjects[subject].level if subject in self._subjects else None

    def set_level(self, level: Level | None, subject: str | None = None) -> None:
        """Set a level; None takes a subject's own away, or resets the global one."""
        with self._lock:
            if subject is None:
                self._level = level or self._default_level
            else:
                self._subjects.setdefault(subject, _Subject()).level = level

    def mode(self, subject: str | None = None) -> Mode:
        """The mode in force for a subject, or the global one."""
        with self._lock:
            own = self._subjects[subject].mode if subject in self._subjects else None
            return own or self._mode

    def set_mode(self, mode: Mode | None, subject: str | None = None) -> None:
        """Set a mode; None takes a subject's own away, or resets the global one."""
        with self._lock:
            if subject is None:
                self._mode = mode or Mode.READWRITE
            else:
                self._subjects.setdefault(subject, _Subject()).mode = mode

    def _everything(self) -> list[Version]:
        with self._lock:
            return [version for name in sorted(self._subjects) for version in self._subjects[name].versions]

    def _versions(self, subject: str, *, deleted: bool) -> list[Version]:
        state = self._subjects.get(subject, _Subject())
        found = state.versions if deleted else state.live()
        if not found:
            raise Refusal(404, 40401, f"Subject '{subject}' not found.")
        return list(found)

    def _demand_writable(self, subject: str) -> None:
        if self.mode(subject) is Mode.READONLY:
            raise Refusal(422, 42205, f"Subject {subject} is in read-only mode")

    def _assign_id(self, identity: str, text: str) -> int:
        wanted = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:4], "big") >> (32 - _ID_BITS) or 1
        # Two contents with the same 31 bits: the later one moves on.
        while self._identities.get(wanted, identity) != identity:
            wanted = wanted % (2**_ID_BITS - 1) + 1
        self._identities[wanted] = identity
        self._texts.setdefault(wanted, text)
        return wanted

    @staticmethod
    def _problems(new: Json, versions: Sequence[Version], level: Level) -> list[str]:
        problems: list[str] = []
        for version in versions if level.is_transitive else versions[-1:]:
            old = json.loads(version.text)
            if level.new_reads_old:
                problems += [f"cannot read version {version.number} {what}" for what in read_problems(new, old)]
            if level.old_reads_new:
                problems += [f"version {version.number} cannot read it {what}" for what in read_problems(old, new)]
        return problems


def _parse(text: str) -> Json:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refusal(422, 42201, f"Invalid schema: {error}") from error
    # A schema that cannot read itself is none.
    if problems := read_problems(document, document):
        raise Refusal(422, 42201, f"Invalid schema: {problems[0][:512]}")
    return document


def _identity(document: Json) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"))
