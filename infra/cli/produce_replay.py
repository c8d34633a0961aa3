"""`flashmm produce replay`: a recording into Kafka, at its own pace or another."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated

import typer
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from infra.cli.recordings import CaptureFile, SymbolName, VenueName, recording_of
from infra.runtime.clock import wall_clock_us
from infra.runtime.logging import configure_logging
from infra.runtime.settings import Settings, load_settings
from producers.core import Counted
from producers.publish import build_publisher
from producers.replay.captures import Capture
from producers.replay.feed import Recording, replay
from producers.replay.player import Played, play
from schemas.errors import ConfigurationError, ServiceUnavailable
from schemas.instruments import DEFAULT_PATH, Instruments
from schemas.records import Tick
from schemas.topics import topic_of

__all__ = ["produce_replay"]

_TIMEOUT_S = 10.0
_REPORT_S = 1.0


def produce_replay(
    capture: CaptureFile,
    venue: VenueName,
    symbol: SymbolName = None,
    speed: Annotated[str, typer.Option(help="Times the recording's own pace, or `max`.")] = "1",
    no_shift: Annotated[
        bool, typer.Option("--no-shift", help="Keep the recorded times; market.ticks must be empty.")
    ] = False,
) -> None:
    """Write a recording to Kafka. Its times are moved by one constant, so that it begins now."""
    settings = load_settings()
    pace = _pace(speed)
    configure_logging(settings.log_level, component="producer.replay")
    opened, recording = recording_of(settings, capture, venue, symbol)
    if no_shift:
        _demand_empty(settings)
    markets = ", ".join(name for _, name in recording.source.symbols)

    def begin() -> int:
        shift_us = 0 if no_shift else wall_clock_us() - opened.first_us()
        moved = "its times kept" if no_shift else f"all times moved by {shift_us / 1e6:+.6f} s to now"
        print(f"{venue} (RECORDED): {markets} from {capture.name} at speed {speed}, {moved}", flush=True)
        return shift_us

    played = Played()
    asyncio.run(_until_interrupted(settings, opened, recording, played, begin, speed=pace))
    print(f"{played.ticks} ticks and {played.bad} dead letters written", flush=True)


def _pace(speed: str) -> float | None:
    if speed == "max":
        return None
    with suppress(ValueError):
        if 0 < (value := float(speed)) < float("inf"):
            return value
    raise typer.BadParameter(f"{speed!r} is neither a positive number nor `max`", param_hint="--speed")


def _demand_empty(settings: Settings) -> None:
    """Refuse to write times of the past behind those of a log that has begun: its clock only moves forward."""
    name = topic_of(Tick).full_name(settings.topic_prefix)
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 0})
    partitions = [TopicPartition(name, number) for number in range(settings.kafka_partitions)]
    try:
        ends = []
        for spec in (OffsetSpec.earliest(), OffsetSpec.latest()):
            found = admin.list_offsets(dict.fromkeys(partitions, spec), request_timeout=_TIMEOUT_S)
            ends.append([found[partition].result().offset for partition in partitions])
    except KafkaException as error:
        raise ServiceUnavailable(
            "Kafka",
            settings.kafka_bootstrap,
            error.args[0].str(),
            fix="Start it (`flashmm up`), or set FLASHMM_KAFKA_BOOTSTRAP",
        ) from error
    if ends[0] != ends[1]:
        raise ConfigurationError(
            "--no-shift", f"{name} already holds records", "Use an empty cluster, or leave --no-shift out"
        )


async def _until_interrupted(
    settings: Settings,
    capture: Capture,
    recording: Recording,
    played: Played,
    begin: Callable[[], int],
    *,
    speed: float | None,
) -> None:
    """Play to the end or an interruption; `begin` gives the shift, once publishing can start."""
    source = recording.source
    instruments = Instruments.load(settings.instruments or DEFAULT_PATH)
    publisher = await asyncio.to_thread(build_publisher, settings, instruments, wall_clock_us)
    await publisher.check()

    async def report() -> None:
        while True:
            await publisher.report(source, source.counters if isinstance(source, Counted) else {})
            await asyncio.sleep(_REPORT_S)

    moments = replay(capture, recording, silence_us=settings.silence_ms * 1_000)
    playing = asyncio.create_task(
        play(
            moments,
            source,
            publisher.publish,
            played,
            shift_us=begin(),
            speed=speed,
            clock_s=time.monotonic,
        )
    )
    reporting = asyncio.create_task(report())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, playing.cancel)
    try:
        await asyncio.wait((playing, reporting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        publisher.end_within(_TIMEOUT_S)
        for task in (playing, reporting):
            task.cancel()
        results = await asyncio.gather(playing, reporting, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
    await publisher.report(source, source.counters if isinstance(source, Counted) else {})
    await publisher.flush()
