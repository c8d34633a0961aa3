"""What a worker does before it joins its group: settings to configuration, contracts, model, topics, banner."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from fractions import Fraction

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from faust.utils.terminal import SpinnerHandler

from infra.runtime.clock import wall_clock_us
from infra.runtime.logging import log_through_stdlib
from infra.runtime.settings import Settings, load_settings
from processors.kernel.bars import BarConfig
from processors.kernel.marketbreakers import BreakerLimits
from processors.kernel.model import DEFAULT_MODEL, Model
from processors.kernel.normalise import NormaliseConfig
from processors.kernel.pipeline import PipelineConfig, Stage
from processors.kernel.quotingconfig import QuotingConfig
from processors.kernel.risk import MarketLimits
from processors.microbatch.account import account_records
from processors.microbatch.engine import TICKS, MicroBatchEngine
from schemas.enums import Mode
from schemas.errors import ConfigurationError, FlashMMError, ServiceUnavailable
from schemas.instruments import DEFAULT_PATH, Instruments
from schemas.registry import Registry
from schemas.topics import TOPICS, topic_of

__all__ = ["configured", "describe", "load_model", "pipeline_config", "prepare", "stage_set_of", "stop_spinner"]

log = structlog.stdlib.get_logger(__name__)

_WEB_PORT = 6066  # Faust's own


def configured() -> tuple[Settings, MicroBatchEngine]:
    """Load the settings and make the engine; what is wrong with them ends the process with one line and exit code 4."""
    log_through_stdlib()
    try:
        settings = load_settings()
        config = pipeline_config(settings)
        instruments = Instruments.load(settings.instruments or DEFAULT_PATH)
    except FlashMMError as error:
        sys.exit(refusal(error))
    engine = MicroBatchEngine(
        config,
        bootstrap=settings.kafka_bootstrap,
        prefix=settings.topic_prefix,
        stage_set=stage_set_of(config.stages),
        instruments=instruments,
        clock=wall_clock_us,
        fetch_wait_ms=settings.fetch_wait_ms,
        fetch_pause_ms=settings.fetch_pause_ms,
        fetch_bytes=settings.fetch_bytes,
    )
    return settings, engine


def refusal(error: FlashMMError) -> int:
    """Say why the worker does not start, as the command line would, and give its exit code."""
    print(f"flashmm: {error}", file=sys.stderr, flush=True)  # noqa: T201  the worker's last word
    return 4 if isinstance(error, ConfigurationError) else 1


def web_port() -> int:
    """Choose the port of Faust's web views: its own, or the next that is free, as a second worker here needs."""
    for port in range(_WEB_PORT, _WEB_PORT + 50):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    return _WEB_PORT


def stage_set_of(stages: frozenset[Stage]) -> str:
    """Name a set of stages: part of the group's name and of every snapshot's key."""
    return "-".join(stage for stage in Stage if stage in stages)


def pipeline_config(settings: Settings) -> PipelineConfig:
    """Turn settings into the configuration of the stages.

    Raises:
        ConfigurationError: an unknown stage, or one without those that it reads from.
    """
    return PipelineConfig(
        stages=_stages(settings),
        publish_trades=settings.publish_trades,
        normalise=NormaliseConfig(
            max_age_us=settings.max_tick_age_ms * 1_000,
            spike_threshold=Fraction(str(settings.spike_threshold_pct)) / 100,
            spike_confirm_prints=settings.spike_confirm_prints,
            spike_confirm_us=settings.spike_confirm_ms * 1_000,
            dedup_window=settings.dedup_window,
            stale_us=settings.subscription_stale_ms * 1_000,
        ),
        bars=BarConfig(lateness_us=settings.lateness_ms * 1_000),
        quoting=QuotingConfig(
            mode=settings.executor_mode,
            account=settings.account,
            venues=frozenset(settings.csv("quoted_venues")),
            max_position_quote=settings.notional("max_position_quote"),
            quote_size_quote=settings.notional("quote_size_quote"),
            frequency_hz=settings.quote_frequency_hz,
            gamma=settings.risk_aversion,
            max_orders_per_s=settings.max_orders_per_s,
            shows_own=settings.executor_mode is Mode.CITREX,
            own_grace_us=settings.own_order_grace_ms * 1_000,
            jump_bps=settings.pull_jump_bps,
            limits=_limits(settings),
            breakers=_breakers(settings),
        ),
    )


def _limits(settings: Settings) -> MarketLimits:
    return MarketLimits(
        stale_us=settings.quote_stale_ms * 1_000,
        market_spread_bps=settings.market_spread_bps,
        band_bps=settings.price_band_bps,
        min_spread_bps=settings.min_spread_bps,
        max_spread_bps=settings.max_spread_bps,
        order_quote=settings.notional("max_order_quote"),
        is_model_required=settings.model_required,
    )


def _breakers(settings: Settings) -> BreakerLimits:
    return BreakerLimits(
        disconnect_rest_us=settings.disconnect_rest_ms * 1_000,
        drift_psi=settings.drift_psi,
        drift_window=settings.drift_window,
        inference_us=settings.inference_limit_ms * 1_000,
        drift_rest_us=settings.drift_rest_ms * 1_000,
        extreme_move_bps=settings.extreme_move_bps,
        extreme_window_us=settings.extreme_window_ms * 1_000,
        extreme_volatility_bps=settings.extreme_volatility_bps,
        extreme_rest_us=settings.extreme_rest_ms * 1_000,
        trial_us=settings.breaker_trial_ms * 1_000,
    )


def _stages(settings: Settings) -> frozenset[Stage]:
    try:
        stages = frozenset(Stage(name) for name in settings.csv("stages"))
    except ValueError as error:
        raise ConfigurationError("FLASHMM_STAGES", str(error), f"Choose among {', '.join(Stage)}") from None
    needs = {
        Stage.BARS: Stage.NORMALISE,
        Stage.FEATURES: Stage.NORMALISE,
        Stage.INFERENCE: Stage.FEATURES,
        Stage.QUOTING: Stage.FEATURES,
    }
    for stage in sorted(stages):
        if needs.get(stage, stage) not in stages:
            raise ConfigurationError("FLASHMM_STAGES", f"{stage} reads from {needs[stage]}", f"Add {needs[stage]}")
    if not stages:
        raise ConfigurationError("FLASHMM_STAGES", "names no stage", f"Choose among {', '.join(Stage)}")
    return stages


def load_model(settings: Settings) -> Model | None:
    """Load the model; None, said in the log, where torch is not installed."""
    path = settings.model_path or DEFAULT_MODEL
    try:
        import torch  # noqa: F401  an optional extra of 5 GB
    except ImportError:
        log.warning("model_free", reason="torch is not installed: pip install 'flashmm[model]'")
        return None
    return Model.load(path)


async def prepare(engine: MicroBatchEngine, settings: Settings) -> None:
    """Look up the schemas, load the model and check the topics.

    Raises:
        ConfigurationError: schemas not registered, or topics missing or of other partition counts.
        ServiceUnavailable: Kafka or the registry does not answer.
    """
    await asyncio.to_thread(_check_topics, settings)
    registry = Registry(settings.registry_url)
    records = [topic.record for topic in TOPICS.values() if topic.record is not None]
    engine.codecs = await asyncio.to_thread(lambda: {record: registry.codec(record) for record in records})
    await engine.ownership.claim()
    if Stage.INFERENCE in engine.config.stages:
        engine.model = await asyncio.to_thread(load_model, settings)


def _check_topics(settings: Settings) -> None:
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 0})
    try:
        found = admin.list_topics(timeout=5).topics
    except KafkaException as error:
        raise ServiceUnavailable(
            "Kafka",
            settings.kafka_bootstrap,
            error.args[0].str(),
            fix="Start it (`flashmm up`), or set FLASHMM_KAFKA_BOOTSTRAP",
        ) from error
    for topic in TOPICS.values():
        name = topic.full_name(settings.topic_prefix)
        if name not in found:
            raise ConfigurationError(name, "the topic does not exist", "Run `flashmm topics create`")
        partitions = len(found[name].partitions)
        if partitions != settings.kafka_partitions:
            raise ConfigurationError(
                "FLASHMM_KAFKA_PARTITIONS",
                f"{name} has {partitions} partitions, the setting says {settings.kafka_partitions}",
                "Set it to what the topics have: the count is fixed for life",
            )


def stop_spinner() -> None:
    """Take Faust's progress spinner out of logging: it turns with every debug line, so all libraries make them all."""
    root = logging.getLogger()
    levels = [handler.level for handler in root.handlers if not isinstance(handler, SpinnerHandler)]
    if levels and len(levels) < len(root.handlers):
        root.handlers[:] = [handler for handler in root.handlers if not isinstance(handler, SpinnerHandler)]
        root.setLevel(min(levels))


def describe(engine: MicroBatchEngine, settings: Settings, *, is_batching: bool, is_lean: bool) -> None:
    """Log what this worker is, and which path each topic takes."""
    if not is_batching:
        log.warning("single_records", topic=TICKS, reason="aiokafka's internals changed", costs="most of the speed")
    if not is_lean:
        log.warning("stock_connection", reason="aiokafka's internals changed", costs="some of the speed")
    is_prebuilding = engine.publisher.takes_prebuilt
    if not is_prebuilding:
        log.warning("stock_builder", reason="aiokafka's internals changed", costs="some of the speed")
    log.info(
        "worker_started",
        kafka=settings.kafka_bootstrap,
        registry=settings.registry_url,
        stages=engine.stage_set,
        prefix=settings.topic_prefix or None,
        reads={
            TICKS: "batches, split and decoded by compiled code" if is_batching else "single records",
            **{
                topic_of(kind).full_name(settings.topic_prefix): "single records"
                for kind in account_records(engine.config.quoting)
            },
        },
        writes="batches built by compiled code" if is_prebuilding else "batches built by aiokafka",
        connection="ours" if is_lean else "aiokafka's",
        model=engine.model.model_id if engine.model else "none: model-free pricing",
        orders=f"{settings.executor_mode} account {settings.account}",
        venues=settings.quoted_venues,
        trades="published" if settings.publish_trades else "not published: FLASHMM_PUBLISH_TRADES is off",
    )
