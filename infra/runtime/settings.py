"""Every setting, its default, its environment names and its unit.

Sources, strongest first: environment, `.env`, one TOML file (`FLASHMM_CONFIG`), defaults. A setting `x` is read from
`FLASHMM_X` or from the alias that the field declares. Unknown `FLASHMM_*` names and unknown keys of a file are errors.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from dotenv import dotenv_values
from pydantic import AfterValidator, AliasChoices, Field, SecretStr, ValidationError
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from schemas.enums import Mode
from schemas.errors import ConfigurationError, DoesNotFit
from schemas.numbers import NOTIONAL_SCALE, to_units

__all__ = ["PREFIX", "Settings", "config_file", "dotenv_names", "load_settings"]

PREFIX = "FLASHMM_"
_DOTENV = ".env"


def _seed(name: str, field: str) -> AliasChoices:
    """Accept the name that the field is known by elsewhere, besides our own."""
    return AliasChoices(f"{PREFIX}{field}".lower(), name.lower(), field)


def _is_amount(text: str) -> str:
    try:
        units = to_units(text, NOTIONAL_SCALE, bits=128)
    except DoesNotFit:
        units = -1
    if units < 0:
        raise PydanticCustomError("amount", "input should be a decimal number that is not negative, like 2000")
    return text


Amount = Annotated[str, AfterValidator(_is_amount)]
"""A value in quote currency: a decimal number of at most 17 decimals, as text."""


class Settings(BaseSettings):
    """Settings of every process; see the field descriptions."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=_DOTENV,
        env_ignore_empty=True,
        extra="ignore",  # other programs' names in .env; our own unknown ones are found by load_settings
        frozen=True,
        populate_by_name=True,
    )

    # Kafka and the registry
    kafka_bootstrap: str = Field("127.0.0.1:9092", description="Kafka bootstrap servers, host:port[,host:port].")
    kafka_partitions: int = Field(4, ge=1, le=1024, description="Partitions of market.ticks; fixed for life.")
    topic_prefix: str = Field(
        "", pattern=r"^[A-Za-z0-9._-]*$", description="Prefix of all output topics, to compare runs."
    )
    registry_url: str = Field("http://127.0.0.1:8081", description="Confluent-compatible schema registry.")

    # Venues
    sei_ws_url: str = Field(
        "wss://rpc.sei-apis.com/websocket",
        validation_alias=_seed("SEI_WS_URL", "sei_ws_url"),
        description="Sei node WebSockets, comma-separated; the next is tried when one fails.",
    )
    sei_rpc_url: str = Field(
        "https://rpc.sei-apis.com",
        validation_alias=_seed("SEI_RPC_URL", "sei_rpc_url"),
        description="Sei node RPC for block_results after a gap, comma-separated like the WebSockets.",
    )
    sei_chain_id: str = Field(
        "pacific-1",
        validation_alias=_seed("SEI_CHAIN_ID", "sei_chain_id"),
        description="Chain that the node must serve.",
    )
    sei_clob_ws_url: str = Field("", description="WebSocket of the book feed (seeds' frames); empty: not subscribed.")
    sei_mappings: Path | None = Field(None, description="TOML file of event mappings; the built-in one where unset.")
    sei_symbols: str = Field("SEI/USDC", description="Markets to subscribe, comma-separated.")
    binance_ws_url: str = Field("wss://stream.binance.com:9443", description="Binance spot WebSocket.")
    binance_rest_url: str = Field("https://api.binance.com", description="Binance spot REST, for depth snapshots.")
    binance_symbols: str = Field("BTCUSDT", description="Binance symbols, comma-separated.")
    citrex_rest_url: str = Field(
        "",
        description="Citrex REST addresses, comma-separated; empty: the network's own. Producers try the next when one "
        "fails, the executor speaks to the first.",
    )
    citrex_symbols: str = Field("SEI/USDC-PERP", description="Citrex markets to poll, comma-separated.")
    citrex_poll_ms: int = Field(500, ge=50, description="Wait between two questions for a market's book.")
    citrex_max_book_age_ms: int = Field(
        2_000, ge=100, description="A polled book that was asked for longer ago is STALE."
    )
    citrex_private_key: SecretStr = Field(
        SecretStr(""),
        validation_alias=_seed("CITREX_PRIVATE_KEY", "citrex_private_key"),
        description="Key of the account that trades on Citrex, 32 bytes in hexadecimal; from the environment only.",
    )
    citrex_sub_account: int = Field(0, ge=0, le=255, description="Its sub-account; one executor an account has it.")
    citrex_account_poll_ms: int = Field(
        500, ge=50, le=2_000, description="Orders, positions and trades of the account are read so often."
    )
    citrex_account_requests_per_s: int = Field(
        20, ge=5, le=1_000, description="Budget for the questions about the account; orders have their own."
    )
    citrex_timeout_ms: int = Field(
        3_000, ge=100, le=10_000, description="A request of the account that has no answer by then never has one."
    )
    citrex_max_skew_ms: int = Field(
        2_000, ge=10, le=4_000, description="Nothing new is sent while the venue's clock is further from ours."
    )
    citrex_requests_per_s: int = Field(10, ge=1, le=1_000, description="Budget for all questions to Citrex together.")
    instruments: Path | None = Field(None, description="TOML file of instruments; the built-in one where unset.")

    # Feeds. They never stop reconnecting.
    reconnect_initial_ms: int = Field(250, ge=1, description="First back-off after a lost connection, before jitter.")
    reconnect_max_ms: int = Field(30_000, ge=1, description="Greatest back-off.")
    silence_ms: int = Field(30_000, ge=100, description="A socket silent for so long is dropped.")
    subscription_stale_ms: int = Field(10_000, ge=100, description="A subscription silent for so long is STALE.")
    heartbeat_interval_ms: int = Field(1_000, ge=50, le=1_000, description="Interval of the HEARTBEAT ticks.")
    lateness_ms: int = Field(1_000, ge=0, description="How far the watermark stays behind the greatest event time.")
    max_frame_bytes: int = Field(4 * 1024 * 1024, ge=1024, description="Larger frames from the network are refused.")

    # Producers, when Kafka takes less than the venues send
    producer_queue_records: int = Field(
        100_000, ge=1_000, le=10_000_000, description="Ticks that a producer keeps for Kafka; beyond, it stops reading."
    )
    producer_queue_kb: int = Field(
        65_536, ge=1_024, le=2_097_151, description="KiB that a producer keeps for Kafka; beyond, it stops reading."
    )
    shedding: bool = Field(
        False,
        description="A producer that is behind leaves out TOP ticks that a newer one replaces, of venues not quoted.",
    )
    shed_queue_pct: int = Field(
        50, ge=1, le=100, description="Part of the producer's queue in use from which it sheds; it ends at half of it."
    )
    shed_backlog_ms: int = Field(
        1_000, ge=10, description="Age of the oldest record in the queue from which it sheds; it ends at half of it."
    )

    # Normalisation
    max_tick_age_ms: int = Field(
        60_000, ge=1, description="Trades and tops older than this when received are rejected."
    )
    spike_threshold_pct: float = Field(10.0, gt=0, description="A print further from the last is held until confirmed.")
    spike_confirm_prints: int = Field(3, ge=1, description="Prints at the new level that confirm a spike.")
    spike_confirm_ms: int = Field(
        5_000, ge=1, description="Partition-clock time after which prints at the new level confirm."
    )
    dedup_window: int = Field(
        1_024, ge=1, description="Trade ids remembered per market; 32768 per partition at most, in equal shares."
    )

    # Processors
    stages: str = Field("normalise,bars,features,inference,quoting", description="Stages that a worker runs.")
    publish_trades: bool = Field(
        True,
        description="Republish every accepted trade on market.trades, for the sinks; bars and quotes do without.",
    )
    snapshot_interval_ms: int = Field(5_000, ge=100, description="Interval of state snapshots.")
    fetch_wait_ms: int = Field(
        5,
        ge=0,
        description="How long a fetch may wait for data while a partition is left out, its last not being taken.",
    )
    fetch_pause_ms: int = Field(
        5,
        ge=0,
        le=1_000,
        description="Least time between two fetches of a worker that is level with the log: what comes meanwhile is "
        "one batch. A busy one fetches less often, but right after each grid point.",
    )
    session_timeout_ms: int = Field(
        10_000, ge=6_000, le=30_000, description="A worker silent for so long is dead, and others take its partitions."
    )
    fetch_partition_bytes: int = Field(
        1 << 20, ge=1_024, le=1 << 24, description="Most bytes that one fetch asks of a partition."
    )
    fetch_bytes: int = Field(
        1 << 22, ge=1_024, le=1 << 26, description="Most bytes that one fetch asks of all partitions of a broker."
    )
    batch_max_records: int = Field(8_192, ge=1, description="Most records of one batch; a live one is smaller.")
    buffered_batches: int = Field(4, ge=1, description="Most decoded batches that wait for the stages.")
    model_path: Path | None = Field(None, description="TorchScript model; the built-in one where unset.")

    # Trading
    trading_enabled: bool = Field(
        False,
        validation_alias=_seed("TRADING_ENABLED", "trading_enabled"),
        description="Allows real venues: citrex and citrex-testnet.",
    )
    executor_mode: Mode = Field(Mode.PAPER, description="Where orders go: paper, dry_run or citrex.")
    account: str = Field("demo", pattern=r"^[A-Za-z0-9._-]+$", description="Account that a worker quotes for.")
    quoted_venues: str = Field("sim-sei-clob", description="Venues whose books are quoted, comma-separated.")
    max_position_quote: Amount = Field(
        "2000",
        validation_alias=_seed("TRADING_MAX_POSITION_USDC", "max_position_quote"),
        description="Position limit per market, in quote currency.",
    )
    max_order_quote: Amount = Field("500", description="Value of one order at most, in quote currency.")
    max_gross_quote: Amount = Field(
        "10000", description="Value of all positions of an account together if every open order fills, at most."
    )
    max_drawdown_quote: Amount = Field(
        "2000", description="Loss from the best that an account has been worth; beyond it only reductions are sent."
    )
    max_daily_loss_quote: Amount = Field(
        "1000", description="Loss since the UTC day began; beyond it only reductions are sent."
    )
    order_price_band_bps: int = Field(
        1_000, ge=1, le=10_000, description="Distance of an order's price from the market's last trade, at most."
    )
    paper_balances: str = Field(
        "USDC=100000,USDT=100000,USD=100000,SEI=200000,WETH=50,BTC=5",
        description="What a paper or dry-run account begins with at each venue: ASSET=AMOUNT, comma-separated.",
    )
    max_open_orders: int = Field(100, ge=1, description="Open orders of an account, at most.")
    max_sends_per_s: int = Field(100, ge=2, description="Requests to a venue a second and account, at most.")
    sends_for_cancels: int = Field(
        50, ge=1, description="How many of those requests new orders leave free, so that cancels always pass."
    )
    dead_man_ms: int = Field(
        2_000, ge=200, description="Orders of a market are cancelled when no decision came for it for longer."
    )
    commands_stale_ms: int = Field(
        5_000,
        ge=2_000,
        description="An executor that could not have heard of a halt for longer cancels everything until it can.",
    )
    widen_pct: int = Field(
        200,
        ge=100,
        le=10_000,
        description="Distance of quotes from the fair price, in percent, at the rung WIDEN and while orders are late.",
    )
    flatten_price_bps: int = Field(
        50, ge=0, lt=10_000, description="An order that closes a position is no further from the mid of the book."
    )
    flatten_participation_pct: int = Field(
        25, ge=1, le=100, description="Part of the size displayed within that price that such an order may take."
    )
    flatten_interval_ms: int = Field(1_000, ge=200, description="Time between two such orders of a market.")
    flatten_book_age_ms: int = Field(
        2_000, ge=100, description="Nothing is taken from a book that was not heard of for longer."
    )
    breaker_latency_ms: int = Field(
        1_000, ge=1, description="LATENCY opens when more than 1 % of orders leave later than this after their tick."
    )
    breaker_latency_window_ms: int = Field(10_000, ge=1_000, description="How far back LATENCY looks.")
    breaker_inventory_pct: int = Field(
        150,
        ge=100,
        description="INVENTORY opens when a position is worth more than so many percent of its limit.",
    )
    breaker_escalate_ms: int = Field(
        60_000,
        ge=1_000,
        description="INVENTORY halts the account (STOP_NEW) when it cannot close a position for so long.",
    )
    breaker_rest_ms: int = Field(5_000, ge=0, description="How long nothing bad must be seen before a trial.")
    breaker_trial_ms: int = Field(10_000, ge=0, description="How long a trial takes before a breaker closes.")
    refresh_bps: int = Field(
        1,
        ge=0,
        le=9_999,
        description="An order so near to the price that is asked for stays, with its place in the queue.",
    )
    refresh_open_pct: int = Field(
        50, ge=1, le=100, description="Part of the size asked for that must be open in an order for it to stay."
    )
    order_expiry_ms: int = Field(
        60_000,
        ge=2_000,
        le=60_000,
        description="Every order ends by itself so long after its decision; at three quarters it is replaced.",
    )
    quote_frequency_hz: int = Field(
        5,
        ge=1,
        le=5,
        validation_alias=_seed("TRADING_QUOTE_FREQUENCY_HZ", "quote_frequency_hz"),
        description="Quote decisions a second per market; must divide 5.",
    )
    quote_size_quote: Amount = Field("100", description="Value of one quoted order, in quote currency.")
    risk_aversion: float = Field(
        0.1, gt=0, description="Gamma of Avellaneda-Stoikov, per unit of normalised inventory."
    )
    quote_stale_ms: int = Field(
        1_000, ge=1, description="Nobody quotes on a book unchanged and unconfirmed for longer."
    )
    max_orders_per_s: int = Field(10, ge=1, description="Order changes a second and market.")
    own_order_grace_ms: int = Field(
        1_500,
        ge=0,
        description="Around a change of an order, how long it is not known whether a book that shows ours has it.",
    )
    pull_jump_bps: int = Field(
        20, ge=1, le=10_000, description="A mid of the group that moves further between grid points pulls the quotes."
    )
    market_spread_bps: int = Field(500, ge=1, description="A market whose own spread is wider is not quoted.")
    price_band_bps: int = Field(500, ge=1, description="Greatest distance of a quoted price from the mid.")
    min_spread_bps: int = Field(1, ge=0, description="Least distance between our bid and ask.")
    max_spread_bps: int = Field(1_000, ge=1, description="Greatest distance between our bid and ask.")
    model_required: bool = Field(False, description="Quote only with the model's prediction, never model-free.")

    # Breakers of a market, in its worker
    disconnect_rest_ms: int = Field(2_000, ge=0, description="Time that a book must be LIVE again before it is quoted.")
    drift_psi: float = Field(2.0, gt=0, description="A greater PSI of the model's features opens DRIFT: see model.md.")
    drift_window: int = Field(1_500, ge=100, description="Feature vectors of a market that a PSI is taken of.")
    inference_limit_ms: int = Field(5, ge=1, description="A prediction that takes longer is not used; opens DRIFT.")
    drift_rest_ms: int = Field(10_000, ge=0, description="Time without either before the model is tried again.")
    extreme_move_bps: int = Field(
        200, ge=1, description="A move of the mid within the window that opens EXTREME_MARKET."
    )
    extreme_window_ms: int = Field(5_000, ge=200, le=30_000, description="That window.")
    extreme_volatility_bps: float = Field(
        50.0, gt=0, description="Volatility that opens EXTREME_MARKET, in bps per root second."
    )
    extreme_rest_ms: int = Field(30_000, ge=0, description="Time without either before the market is tried again.")

    # Sinks
    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"), validation_alias=_seed("REDIS_URL", "redis_url"), description="Redis."
    )
    influxdb_url: str = Field(
        "http://127.0.0.1:8086", validation_alias=_seed("INFLUXDB_URL", "influxdb_url"), description="InfluxDB 2."
    )
    influxdb_token: SecretStr = Field(
        SecretStr(""), validation_alias=_seed("INFLUXDB_TOKEN", "influxdb_token"), description="InfluxDB token."
    )
    influxdb_org: str = Field(
        "flashmm", validation_alias=_seed("INFLUXDB_ORG", "influxdb_org"), description="InfluxDB organisation."
    )
    influxdb_bucket: str = Field(
        "metrics", validation_alias=_seed("INFLUXDB_BUCKET", "influxdb_bucket"), description="InfluxDB bucket."
    )
    hot_ticks: int = Field(1_000, ge=1, description="Ticks kept per market in Redis.")
    sink_flush_interval_ms: int = Field(100, ge=1, description="Longest time that a sink holds records.")
    sink_batch_records: int = Field(5_000, ge=1, description="Most records of one sink flush.")
    primary_venue: str = Field("sim-sei-clob", description="Venue meant where a Redis key names a symbol alone.")

    # Process
    log_level: str = Field("INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR|CRITICAL)$", description="Log level.")
    data_dir: Path = Field(Path(".flashmm"), description="Where the embedded stack keeps its files.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments, then environment, then `.env`, then the TOML file."""
        sources: tuple[PydanticBaseSettingsSource, ...] = (init_settings, env_settings, dotenv_settings)
        path = config_file()
        return (*sources, TomlConfigSettingsSource(settings_cls, path)) if path else sources

    def notional(self, name: str) -> int:
        """Give a value in quote currency in units of notionals."""
        return to_units(getattr(self, name), NOTIONAL_SCALE, bits=128)

    def csv(self, name: str) -> tuple[str, ...]:
        """Give a comma-separated setting as its parts."""
        return tuple(part.strip() for part in str(getattr(self, name)).split(",") if part.strip())


def load_settings(**overrides: Any) -> Settings:
    """Load the settings.

    Raises:
        ConfigurationError: a value is wrong, the TOML file cannot be read, it or the environment or `.env` names
            something that is not a setting, or a file holds what only the environment may.
    """
    _refuse_unknown(os.environ, "")
    _refuse_unknown(dotenv_names(), " (in .env)")
    for name in dotenv_names():
        if name.removeprefix(PREFIX).lower() in _ENVIRONMENT_ONLY:
            raise ConfigurationError(
                name, "is a secret that no file may hold, and .env does", "Set it in the environment"
            )
    path = config_file()
    if path is not None:
        _check_file(path)
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise _explained(error) from None


def _explained(error: ValidationError) -> ConfigurationError:
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else "settings"
    field = Settings.model_fields.get(name.lower().removeprefix(PREFIX.lower()))
    is_secret = field is None or field.annotation is SecretStr
    was = "" if is_secret else f", was {first['input']!r}"
    return ConfigurationError(
        name.upper() if name.lower().startswith(PREFIX.lower()) else f"{PREFIX}{name.upper()}",
        f"{first['msg'].lower()}{was}",
        "See `flashmm config show` for every setting",
    )


def config_file() -> Path | None:
    """Give the TOML file that `FLASHMM_CONFIG` names; None where it names none."""
    path = os.environ.get(f"{PREFIX}CONFIG")
    return Path(path) if path else None


def dotenv_names() -> frozenset[str]:
    """List the names that `.env` in the working directory sets to something, in capitals."""
    return frozenset(name.upper() for name, value in dotenv_values(_DOTENV).items() if value)


def _check_file(path: Path) -> None:
    setting = f"{PREFIX}CONFIG"
    try:
        keys = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(setting, f"{path} cannot be read: {error}", "Give a TOML file of settings") from None
    known = set(Settings.model_fields)
    for key in keys:
        if key not in known:
            problem = f"{path}: {key} is not a setting"
            raise ConfigurationError(setting, problem, "Keys are the names in `flashmm config schema`")
        if key in _ENVIRONMENT_ONLY:
            problem = f"{path}: {key} is a secret that no file may hold"
            raise ConfigurationError(setting, problem, f"Take it out, and set {PREFIX}{key.upper()} in the environment")


def _refuse_unknown(names: Iterable[str], where: str) -> None:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | {f"{PREFIX}CONFIG"}
    for name in sorted(names):
        if name.startswith(PREFIX) and name not in known and name not in _NOT_SETTINGS:
            raise ConfigurationError(name, f"is not a setting{where}", "See `flashmm config show` for every setting")


_ENVIRONMENT_ONLY = {"citrex_private_key"}
# Names that tests and tools read from the environment themselves.
_NOT_SETTINGS = {"FLASHMM_CHAOS", "FLASHMM_SAMPLE_DATA", "FLASHMM_TEST_KAFKA"}
