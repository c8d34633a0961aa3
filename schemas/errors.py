"""The one error tree.

    FlashMMError
    |-- TransientError            trying again may succeed
    |   |-- ServiceUnavailable    an address does not answer, a connection broke, a service is overloaded
    |   |   `-- TimedOut          one that did not get ready, or did not end, in its time; exit code 5
    `-- TerminalError             trying again cannot succeed
        |-- ConfigurationError    a setting, file or address is wrong; exit code 4
        |-- ContractError         bytes, schemas or numbers that break a contract
        |   |-- CodecError        bytes that are not the Avro record they claim to be
        |   |-- DoesNotFit        a number with more digits than its contract holds
        |   |-- SchemaIncompatible
        |   `-- ProtocolError     a venue's frame that the protocol does not allow
        |-- CaptureError          a recording that is not one
        |-- StateError            a snapshot that cannot be restored, an owner conflict
        `-- NotRunning            a command that needs a running platform; exit code 3

Every message says what happened and what to do; structured attributes carry the parts.
"""

from __future__ import annotations

from schemas.reasons import DeadLetterReason

__all__ = [
    "CaptureError",
    "CodecError",
    "ConfigurationError",
    "ContractError",
    "DoesNotFit",
    "FlashMMError",
    "NotRunning",
    "ProtocolError",
    "SchemaIncompatible",
    "ServiceUnavailable",
    "StateError",
    "TerminalError",
    "TimedOut",
    "TransientError",
]


class FlashMMError(Exception):
    """Any failure that this platform reports by itself."""


class TransientError(FlashMMError):
    """A failure after which the same attempt may succeed."""


class TerminalError(FlashMMError):
    """A failure that repeating the attempt cannot cure."""


class ServiceUnavailable(TransientError):
    """A service that does not answer at its address."""

    def __init__(self, service: str, address: str, detail: str, *, fix: str = "") -> None:
        self.service = service
        self.address = address
        self.detail = detail
        said = detail.rstrip(". ")
        super().__init__(f"{service} at {address} is not available: {said}" + (f". {fix}" if fix else ""))


class TimedOut(ServiceUnavailable):
    """A service that did not get ready, or did not end, in its time."""


class Fenced(TerminalError):
    """Another executor has the account: this one may not write, and so may not send."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        super().__init__(f"another executor has {owner}: this one is fenced and sends nothing. Run one an account")


class ConfigurationError(TerminalError):
    """A setting that cannot be used, with its name and what to do about it."""

    def __init__(self, setting: str, problem: str, fix: str) -> None:
        self.setting = setting
        self.problem = problem
        self.fix = fix
        super().__init__(f"{setting}: {problem}. {fix}")


class ContractError(TerminalError):
    """Data that breaks a contract; `reason` is the dead letter's reason code."""

    reason = DeadLetterReason.MALFORMED


class CodecError(ContractError):
    """Bytes that are not the Avro record they claim to be."""

    def __init__(self, reason: DeadLetterReason, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


class DoesNotFit(ContractError):
    """A number with more digits than its contract can hold exactly."""

    reason = DeadLetterReason.DOES_NOT_FIT

    def __init__(self, text: str, scale: int) -> None:
        self.text = text
        self.scale = scale
        super().__init__(f"{text[:64]!r} does not fit 64 bits at scale {scale} without rounding")


class SchemaIncompatible(ContractError):
    """A schema that cannot read, or be read by, another version of its subject."""

    reason = DeadLetterReason.UNKNOWN_SCHEMA

    def __init__(self, subject: str, version: str, problems: list[str]) -> None:
        self.subject = subject
        self.version = version
        self.problems = problems
        super().__init__(f"{subject} is not compatible with {version}: {'; '.join(problems)}")


class ProtocolError(ContractError):
    """A venue's frame, or a part of one, that its protocol does not allow."""

    def __init__(self, reason: DeadLetterReason, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


class CaptureError(TerminalError):
    """A recording that is damaged or is not one."""

    def __init__(self, path: str, problem: str, fix: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}. {fix}")


class StateError(TerminalError):
    """State that cannot be restored, or that belongs to somebody else."""


class NotRunning(TerminalError):
    """A command that needs a running platform."""
