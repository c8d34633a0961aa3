"""The InfluxDB 2 sink: batches of line protocol; see docs/influx.md for the measurements.

What the server answers to a write (InfluxDB 2.9, tried):

    204          written
    400          one bad line refuses the whole request   halves are tried until the line is found
    413          too large                                halves
    422          the good lines are written, bad ones (a field of another type, too old) are not: halves find them
    401 403 404  token, permission, organisation or bucket: a wrong setting, which ends the sink
    429 5xx      and no answer: tried again later
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from influxdb_client import InfluxDBClient, WritePrecision
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from infra.runtime.settings import Settings
from schemas.errors import ConfigurationError, FlashMMError, ServiceUnavailable
from schemas.reasons import DeadLetterReason
from schemas.records import Record
from sinks.connector import Refused
from sinks.decoding import Delivery
from sinks.influx_points import points_of
from sinks.line_protocol import Point

__all__ = ["InfluxConnector"]

_TIMEOUT_MS = 10_000
_DETAIL = 300
_SPLIT = {400, 413, 422}
_SETTING = {
    401: (
        "INFLUXDB_TOKEN",
        "the token is missing or wrong",
        "Set one that may write to the bucket; `flashmm up` puts it into stack.env",
    ),
    403: ("INFLUXDB_TOKEN", "the token may not write to the bucket", "Give it write permission"),
    404: ("INFLUXDB_BUCKET", "the organisation or the bucket does not exist", "Create it, or correct INFLUXDB_ORG"),
}


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    delivery: Delivery


class InfluxConnector:
    """Write points to one bucket of one InfluxDB 2 server."""

    name = "influx"
    topics = (
        "market.trades",
        "market.quotes",
        "market.bars",
        "signals.features",
        "signals.predictions",
        "trading.executions",
        "trading.positions",
        "account.balances",
        "ops.metrics",
    )

    def __init__(self, settings: Settings) -> None:
        if not settings.influxdb_url.startswith(("http://", "https://")):
            raise ConfigurationError(
                "INFLUXDB_URL", f"{settings.influxdb_url!r} is not an HTTP address", "Write it as http://host:port"
            )
        self._settings = settings
        self._client = InfluxDBClient(
            url=settings.influxdb_url,
            token=settings.influxdb_token.get_secret_value(),
            org=settings.influxdb_org,
            timeout=_TIMEOUT_MS,
            retries=False,  # the loop around us waits and tries again
        )
        self._write_api = self._client.write_api(write_options=SYNCHRONOUS)
        self._lines: dict[object, _Line] = {}
        self._counters = {"points": 0, "requests": 0, "overwritten": 0, "refused": 0}

    def open(self) -> None:
        """Check that the server answers.

        Raises:
            ServiceUnavailable: it does not.
        """
        if not self._client.ping():
            raise self._unavailable("no answer to /ping")

    def add(self, record: Record, delivery: Delivery) -> None:
        """Take a record for the next flush."""
        for point in points_of(record):
            self._add_point(point, delivery)

    def flush(self, now_us: int) -> Sequence[Refused]:
        """Write what was added.

        Raises:
            ServiceUnavailable: the server does not answer or is overloaded.
            ConfigurationError: token, organisation or bucket are wrong.
        """
        lines = list(self._lines.values())
        refused = self._write(lines) if lines else []
        self._counters["points"] += len(lines) - len(refused)
        self._counters["refused"] += len(refused)
        self._lines = {}
        return list({r.delivery: r for r in refused}.values())

    def counters(self) -> Mapping[str, int]:
        """Give how many points were written or refused, in how many requests.

        `overwritten` counts points that fell on another's series and time, other than a bar on its earlier revision.
        """
        return self._counters

    def close(self) -> None:
        """Disconnect."""
        self._write_api.close()
        self._client.close()

    def _add_point(self, point: Point, delivery: Delivery) -> None:
        text = point.line()
        if text is None:
            return
        held = self._lines.get(point.series)
        if held is not None and held.text != text and point.measurement != "bars":
            self._counters["overwritten"] += 1
        self._lines[point.series] = _Line(text, delivery)

    def _write(self, lines: Sequence[_Line]) -> list[Refused]:
        answer = self._post(lines)
        if answer is None:
            return []
        status, detail = answer
        if len(lines) == 1:
            reason = DeadLetterReason.TOO_LARGE if status == 413 else DeadLetterReason.REFUSED
            return [Refused(lines[0].delivery, reason, f"InfluxDB: {status} {detail}")]
        middle = len(lines) // 2
        return self._write(lines[:middle]) + self._write(lines[middle:])

    def _post(self, lines: Sequence[_Line]) -> tuple[int, str] | None:
        """Write lines; None when all are written, else the status and text of a refusal that concerns some."""
        body = "\n".join(line.text for line in lines)
        self._counters["requests"] += 1
        try:
            self._write_api.write(bucket=self._settings.influxdb_bucket, record=body, write_precision=WritePrecision.NS)
        except ApiException as error:
            status, detail = int(error.status or 0), str(error.body or error.reason)[:_DETAIL]
            if status in _SPLIT:
                return status, detail
            raise self._failure(status, detail) from None  # its headers are none of the log's business
        except HTTPError as error:
            raise self._unavailable(str(error)[:_DETAIL]) from error
        return None

    def _failure(self, status: int, detail: str) -> FlashMMError:
        if status in _SETTING:
            setting, problem, fix = _SETTING[status]
            return ConfigurationError(setting, f"InfluxDB at {self._settings.influxdb_url} says {problem}", fix)
        return self._unavailable(f"{status} {detail}")

    def _unavailable(self, detail: str) -> ServiceUnavailable:
        return ServiceUnavailable(
            "InfluxDB", self._settings.influxdb_url, detail, fix="Start it (`flashmm up`), or set INFLUXDB_URL"
        )
