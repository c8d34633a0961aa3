"""`flashmm sink`: one sink in the foreground."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from infra.runtime.interpreter import settle
from infra.runtime.logging import configure_logging
from infra.runtime.settings import Settings, load_settings
from schemas.enums import Mode
from sinks.connector import Connector
from sinks.runner import SinkRunner
from sinks.stop import Stop

__all__ = ["sink_app"]

# Each command imports its own sink: one has compiled code, and each a client that the others do not want.

sink_app = typer.Typer(help="Run one sink until interrupted.", no_args_is_help=True)


@sink_app.command()
def redis() -> None:
    """Write latest values, hot ticks, bars, positions, balances, alerts, health and metrics to Redis (REDIS_URL)."""
    from sinks.redis import RedisConnector

    settings = _settings("redis")
    _run_connector(RedisConnector(settings), settings)


@sink_app.command()
def influx() -> None:
    """Write trades, quotes, bars, signals, fills, positions, balances and metrics to InfluxDB 2 (INFLUXDB_URL)."""
    from sinks.influx import InfluxConnector

    settings = _settings("influx")
    _run_connector(InfluxConnector(settings), settings)


@sink_app.command()
def executor(
    mode: Annotated[Mode | None, typer.Option(help="Where orders go; FLASHMM_EXECUTOR_MODE where not given.")] = None,
) -> None:
    """Turn quote decisions into orders: on paper, as a dry run, or at a Citrex network, which needs more settings."""
    from sinks.executor.runner import ExecutorRunner

    settings = _settings("executor", mode)
    stop = Stop()
    runner = ExecutorRunner(settings, stop=stop)
    _banner(f"executor of account {settings.account}: {runner.banner}")
    stop.on_signals()
    settle()
    runner.run()


def _settings(name: str, mode: Mode | None = None) -> Settings:
    settings = load_settings() if mode is None else load_settings(executor_mode=mode)
    configure_logging(settings.log_level, component=f"sink.{name}")
    return settings


def _run_connector(connector: Connector, settings: Settings) -> None:
    stop = Stop()
    runner = SinkRunner(connector, settings, stop=stop)
    _banner(f"sink {connector.name}: {', '.join(connector.topics)} from Kafka at {settings.kafka_bootstrap}")
    stop.on_signals()
    settle()
    runner.run()


def _banner(text: str) -> None:
    print(f"flashmm {text}", file=sys.stderr)
