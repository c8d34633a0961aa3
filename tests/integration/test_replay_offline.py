"""`flashmm replay`: real recordings through sources and kernels to files, and damaged ones to errors that help."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from infra.cli.main import build
from schemas.errors import CaptureError, ConfigurationError

SPOT = "binance/spot_btcusdt_20240808.gz"
Rows = list[dict[str, Any]]
Replayed = Callable[..., Path]


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    """Run the command on a recording and give the folder of its results."""

    def run(capture: Path, *options: str) -> Path:
        out = tmp_path_factory.mktemp("out")
        arguments = ["replay", str(capture), "--venue", "binance", "--out", str(out), *options]
        result = CliRunner().invoke(build("replay"), arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return out

    return run


@pytest.fixture(scope="module")
def spot(replayed: Replayed, sample_data: Path) -> Path:
    """The results of the spot recording."""
    return replayed(sample_data / SPOT)


def rows(folder: Path, name: str) -> Rows:
    """The lines of a result."""
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


def summary(folder: Path) -> dict[str, Any]:
    """The summary."""
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


def latest_minutes(folder: Path) -> dict[int, dict[str, Any]]:
    """The last record of each M1 bar, by its start in milliseconds."""
    return {bar["ts_open"] // 1_000: bar for bar in rows(folder, "bars") if bar["timeframe"] == "M1"}


def test_the_five_whole_minutes_are_exact_and_final(spot: Path, sample_data: Path) -> None:
    """As in the table that comes with the recording; those at both ends are incomplete."""
    minutes = latest_minutes(spot)
    table = [line.split() for line in (sample_data / "README.md").read_text().splitlines() if line.startswith("    17")]

    for start, *prices, volume, count in table:
        bar = minutes.pop(int(start))
        assert [f"{float(bar[name]):.2f}" for name in ("open", "high", "low", "close")] == prices
        assert (bar["volume"], bar["trade_count"]) == (volume, int(count))
        assert (bar["state"], bar["is_complete"]) == ("FINAL", True)
    assert len(table) == 5
    assert [(bar["state"], bar["is_complete"]) for bar in minutes.values()] == [("FINAL", False), ("PARTIAL", False)]


def test_every_trade_is_there_and_nothing_is_rejected(spot: Path) -> None:
    """A recorder's clock 1.25 s behind is a flag, no reason to reject."""
    found = summary(spot)

    assert len(rows(spot, "trades")) == 9_757
    assert found["ticks"]["rejected"] == {}
    assert found["ticks"]["received"] == found["ticks"]["accepted"]
    assert found["dead_letters"] == 0
    assert rows(spot, "rejected") == rows(spot, "dead_letters") == []


def test_the_final_book_is_the_venues(spot: Path) -> None:
    """Best first, all levels, exact."""
    [book] = rows(spot, "books")

    assert (book["state"], book["bids"][0], book["asks"][0]) == (
        "LIVE",
        ["61685.99", "1.0087"],
        ["61686", "2.29327"],
    )
    assert min(len(book["bids"]), len(book["asks"])) > 1_000
    bids = [float(price) for price, _ in book["bids"]]
    assert bids == sorted(bids, reverse=True)


def test_quotes_come_from_the_top_where_the_venue_sends_it(spot: Path) -> None:
    """One for each bookTicker that says something new."""
    assert len(rows(spot, "quotes")) == summary(spot)["markets"]["binance|BTC/USDT"]["quotes"] == 28_040


def test_a_cryptofeed_recording_ends_with_four_live_books(replayed: Replayed, sample_data: Path) -> None:
    """Its snapshots are in the file beside it."""
    out = replayed(sample_data / "binance/BINANCE.ws.1.0")

    assert {book["symbol"]: book["state"] for book in rows(out, "books")} == dict.fromkeys(
        ("BLZ/ETH", "LRC/BTC", "NKN/USDT", "RUNE/EUR"), "LIVE"
    )
    assert {trade["trade_id"][0] for trade in rows(out, "trades")} == {"a"}
    assert summary(out)["dead_letters"] == 0


def test_without_its_snapshots_no_book_is_live(replayed: Replayed, sample_data: Path, tmp_path: Path) -> None:
    """The rest is the same."""
    shutil.copyfile(sample_data / "binance/BINANCE.ws.1.0", capture := tmp_path / "BINANCE.ws.1.0")
    out = replayed(capture)

    assert {book["state"] for book in rows(out, "books")} == {"SYNCING"}
    assert len(rows(out, "trades")) == 2


@pytest.fixture(scope="module")
def spot_lines(sample_data: Path) -> list[bytes]:
    """The spot recording's lines."""
    return gzip.decompress((sample_data / SPOT).read_bytes()).splitlines(keepends=True)


def test_a_recording_without_a_snapshot_gives_trades_and_bars(
    replayed: Replayed, spot_lines: list[bytes], tmp_path: Path, spot: Path
) -> None:
    """And a book that never says LIVE; a plain file is as good as a compressed one."""
    capture = tmp_path / "plain"
    capture.write_bytes(b"".join(line for line in spot_lines if b'"lastUpdateId"' not in line))
    out = replayed(capture)

    assert [book["state"] for book in rows(out, "books")] == ["SYNCING"]
    values = ("open", "high", "low", "close", "volume", "trade_count", "state", "is_complete")
    assert {start: [bar[name] for name in values] for start, bar in latest_minutes(out).items()} == {
        start: [bar[name] for name in values] for start, bar in latest_minutes(spot).items()
    }


def test_damage_is_counted_and_costs_nothing_else(replayed: Replayed, spot_lines: list[bytes], tmp_path: Path) -> None:
    """Lines cut, mangled and foreign, a depth change lost, and the end of the file missing."""
    lines = spot_lines[:4_000]
    trades = sum(b"@trade" in line for line in lines)
    at = next(n for n in range(2_000, 4_000) if b"@depth" in lines[n])
    lines[at : at + 1] = [b"\xff\x00 not a line\n", b'1723161254036059768 {"e":"earthquake"}\n']
    capture = tmp_path / "damaged"
    capture.write_bytes(b"".join(lines) + spot_lines[4_000][:60])
    out = replayed(capture)

    assert summary(out)["dead_letter_reasons"] == {"MALFORMED": 2, "UNKNOWN_MESSAGE": 1}
    assert len(rows(out, "trades")) == trades
    assert [book["state"] for book in rows(out, "books")] == ["GAPPED"]


def test_the_summary_is_printed_as_json(replayed: Replayed, sample_data: Path, tmp_path: Path) -> None:
    """The same document as the file's."""
    arguments = ["replay", str(sample_data / "binance/BINANCE.ws.1.0"), "--venue", "binance", "--out", str(tmp_path)]
    result = CliRunner().invoke(build("replay"), [*arguments, "--json"])

    assert json.loads(result.stdout) == summary(tmp_path)


def test_what_is_no_recording_is_an_error(replayed: Replayed, tmp_path: Path) -> None:
    """It names the file and says what to do."""
    (tmp_path / "photo").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(CaptureError, match="photo"):
        replayed(tmp_path / "photo")


def test_a_folder_that_cannot_be_written_is_an_error(sample_data: Path, tmp_path: Path) -> None:
    """It names the option."""
    (tmp_path / "file").touch()
    arguments = ["replay", str(sample_data / "binance/BINANCE.ws.1.0"), "--venue", "binance"]
    result = CliRunner().invoke(build("replay"), [*arguments, "--out", str(tmp_path / "file")])

    assert isinstance(result.exception, ConfigurationError)
    assert result.exception.setting == "--out"


def test_a_venue_without_recordings_is_a_usage_error(tmp_path: Path) -> None:
    """Exit code 2."""
    result = CliRunner().invoke(build("replay"), ["replay", "x", "--venue", "nowhere", "--out", str(tmp_path)])

    assert result.exit_code == 2
