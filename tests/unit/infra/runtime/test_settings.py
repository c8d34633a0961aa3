"""Settings come from the right place, and wrong ones say what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.runtime.settings import load_settings
from schemas.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("FLASHMM_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_environment_beats_dotenv_beats_file_beats_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The documented order of sources."""
    (tmp_path / "live.toml").write_text('kafka_partitions = 8\nhot_ticks = 5\naccount = "file"\n')
    (tmp_path / ".env").write_text("FLASHMM_HOT_TICKS=6\nFLASHMM_ACCOUNT=dotenv\nOTHER=1\n")
    monkeypatch.setenv("FLASHMM_CONFIG", str(tmp_path / "live.toml"))
    monkeypatch.setenv("FLASHMM_ACCOUNT", "environment")

    settings = load_settings()

    assert (settings.kafka_partitions, settings.hot_ticks, settings.account) == (8, 6, "environment")
    assert settings.kafka_bootstrap == "127.0.0.1:9092"


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("SEI_WS_URL", "sei_ws_url", "ws://node/websocket"),
        ("INFLUXDB_BUCKET", "influxdb_bucket", "b"),
        ("TRADING_MAX_POSITION_USDC", "max_position_quote", "5"),
        ("FLASHMM_SEI_WS_URL", "sei_ws_url", "ws://ours/websocket"),
    ],
)
def test_the_names_of_the_field_are_accepted(
    monkeypatch: pytest.MonkeyPatch, name: str, field: str, value: str
) -> None:
    """A user of similar programs finds their names working."""
    monkeypatch.setenv(name, value)

    assert getattr(load_settings(), field) == value


def test_an_unknown_name_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A typing error must not be a silent default."""
    monkeypatch.setenv("FLASHMM_KAFKA_BOOTSTRAPP", "x:1")

    with pytest.raises(ConfigurationError, match="FLASHMM_KAFKA_BOOTSTRAPP: is not a setting"):
        load_settings()


def test_a_wrong_value_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says which setting, what was wrong and where to look."""
    monkeypatch.setenv("FLASHMM_KAFKA_PARTITIONS", "none")

    with pytest.raises(ConfigurationError, match=r"FLASHMM_KAFKA_PARTITIONS.*'none'.*config show"):
        load_settings()


@pytest.mark.parametrize("value", ["abc", "-1", "nan", "1e400", "0.123456789012345678"])
def test_an_amount_is_a_number_that_fits(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """A limit that is none is refused before anything starts, by `flashmm config show` too."""
    monkeypatch.setenv("FLASHMM_MAX_ORDER_QUOTE", value)

    with pytest.raises(ConfigurationError, match=f"FLASHMM_MAX_ORDER_QUOTE.*like 2000, was '{value}'"):
        load_settings()


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in the repr of the settings."""
    monkeypatch.setenv("REDIS_URL", "redis://:hunter2@localhost/0")
    monkeypatch.setenv("INFLUXDB_TOKEN", "s3cret")

    shown = repr(load_settings())

    assert "hunter2" not in shown
    assert "s3cret" not in shown


@pytest.mark.parametrize("name", ["CITREX_PRIVATE_KEY", "FLASHMM_CITREX_PRIVATE_KEY"])
def test_a_key_that_signs_is_in_no_file(name: str, tmp_path: Path) -> None:
    """The environment alone may hold it; what it was is not repeated."""
    (tmp_path / ".env").write_text(f"{name}=0x1234\n")

    with pytest.raises(ConfigurationError, match=f"^{name}: .*no file") as refused:
        load_settings()
    assert "1234" not in str(refused.value)


def test_an_unknown_name_in_dotenv_is_an_error(tmp_path: Path) -> None:
    """The same holds for the file that people edit most; names of other programs may be there."""
    (tmp_path / ".env").write_text("GRAFANA_PASSWORD=x\nexport FLASHMM_HOT_TICK=5\n")

    with pytest.raises(ConfigurationError, match=r"FLASHMM_HOT_TICK: is not a setting \(in \.env\)"):
        load_settings()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read"),
        (b"hot_ticks =", "cannot be read"),
        (b"\xff", "cannot be read"),
        (b"hot_tick = 5", "hot_tick is not a setting"),
        (b"[kafka]\nbootstrap = 'x:1'", "kafka is not a setting"),
    ],
)
def test_a_wrong_file_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, problem: str
) -> None:
    """A file that is not there, is not TOML or has a misspelt key must not mean defaults."""
    path = tmp_path / "live.toml"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("FLASHMM_CONFIG", str(path))

    with pytest.raises(ConfigurationError, match=f"FLASHMM_CONFIG: .*live.toml.*{problem}"):
        load_settings()
