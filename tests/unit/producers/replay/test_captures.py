"""Recordings: both formats, found out from the file, with the damage that real ones have."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from producers.replay.captures import Line, LineKind, open_capture
from schemas.errors import CaptureError

STAMPED = b'1723161253937085768 {"a":1}\n1723161254036059999 {"a":2}\n'
RAW = (
    b"configuration: {'BINANCE': {}}\n"
    b"wss://x/stream?streams=a@trade <-> 1633998511.159679\n"
    b'wss://x/stream <- 1633998511.2: {"method":"SUBSCRIBE"}\n'
    b'1633998512.0633569: {"a":1}\n'
    b"\n"
    b'1633998514.5: {"a":2}\n'
)
ANSWERS = b'https://x/api/v3/depth?symbol=A -> 1633998513.25: {"b":1}\n\n'


def lines_of(path: Path) -> list[Line]:
    """All lines of a recording."""
    return list(open_capture(path).lines())


def write(path: Path, content: bytes) -> Path:
    """A file with this content."""
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("compressed", [False, True])
def test_stamped_lines_are_read_plain_or_compressed(tmp_path: Path, compressed: bool) -> None:
    """Nanoseconds become microseconds, rounded down; the name does not matter."""
    path = write(tmp_path / "capture", gzip.compress(STAMPED) if compressed else STAMPED)

    assert lines_of(path) == [
        Line(LineKind.RECEIVED, 1_723_161_253_937_085, b'{"a":1}'),
        Line(LineKind.RECEIVED, 1_723_161_254_036_059, b'{"a":2}'),
    ]


def test_stamps_in_microseconds_are_told_by_their_length(tmp_path: Path) -> None:
    """Older files of the same recorder have them."""
    [line] = lines_of(write(tmp_path / "old", b"1723161253937085 {}\n"))

    assert line.ts_us == 1_723_161_253_937_085


def test_cryptofeed_files_are_merged_in_time_order(tmp_path: Path) -> None:
    """The answers beside the .ws file are found by its name; seconds are exact."""
    path = write(tmp_path / "BINANCE.ws.1.0", RAW)
    write(tmp_path / "BINANCE.http.0.0", ANSWERS)
    write(tmp_path / "KRAKEN.http.0.0", ANSWERS)

    assert lines_of(path) == [
        Line(LineKind.CONNECTED, 1_633_998_511_159_679, b"", "wss://x/stream?streams=a@trade"),
        Line(LineKind.SENT, 1_633_998_511_200_000, b'{"method":"SUBSCRIBE"}', "wss://x/stream"),
        Line(LineKind.RECEIVED, 1_633_998_512_063_356, b'{"a":1}'),
        Line(LineKind.ANSWERED, 1_633_998_513_250_000, b'{"b":1}', "https://x/api/v3/depth?symbol=A"),
        Line(LineKind.RECEIVED, 1_633_998_514_500_000, b'{"a":2}'),
    ]


def test_cryptofeed_without_answers_is_still_a_recording(tmp_path: Path) -> None:
    """Trades and bars need no snapshot."""
    kinds = [line.kind for line in lines_of(write(tmp_path / "BINANCE.ws.1.0", RAW))]

    assert kinds.count(LineKind.RECEIVED) == 2
    assert LineKind.ANSWERED not in kinds


def test_answers_inside_the_file_are_read(tmp_path: Path) -> None:
    """Older recordings have them between the frames."""
    [*_, answer] = lines_of(write(tmp_path / "all", RAW + ANSWERS))

    assert answer.kind is LineKind.ANSWERED


@pytest.mark.parametrize("good", [STAMPED, RAW])
def test_damaged_lines_are_handed_on_and_the_rest_goes_on(tmp_path: Path, good: bytes) -> None:
    """At the start, in the middle and at a cut end; none hides another."""
    path = write(tmp_path / "capture", b"\x00\xff\n" + good + b"garbage\n" + good + good[:10])
    lines = lines_of(path)

    assert [line.text for line in lines if line.kind is LineKind.DAMAGED][:2] == [b"\x00\xff", b"garbage"]
    assert len([line for line in lines if line.kind is LineKind.RECEIVED]) == 4
    assert lines[-1].kind is LineKind.DAMAGED
    assert [line.ts_us for line in lines[-2:]] == [lines[-2].ts_us] * 2


def test_a_cut_compressed_file_gives_what_it_has(tmp_path: Path) -> None:
    """A recorder that was killed leaves one; that it is cut is said once."""
    content = b"".join(b"%d {}\n" % (1_723_161_253_937_085_768 + n * 7_919_000) for n in range(5_000))
    lines = lines_of(write(tmp_path / "cut.gz", gzip.compress(content)[:-2_000]))

    assert len(lines) > 1_000
    assert [line.kind for line in lines].count(LineKind.DAMAGED) >= 1
    assert "damaged" in lines[-1].url


def test_an_endless_line_is_not_kept(tmp_path: Path) -> None:
    """It is damage like any other, and bounded."""
    path = write(tmp_path / "long", STAMPED + b"x" * (17 * 1024 * 1024) + b"\n" + STAMPED)
    lines = lines_of(path)

    assert [line.kind for line in lines].count(LineKind.RECEIVED) == 4
    assert [len(line.text) for line in lines if line.kind is LineKind.DAMAGED] == [1_024]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("empty", b"", "is empty"),
        ("blank", b"\n\n\n", "is empty"),
        ("empty.gz", gzip.compress(b"", mtime=0), "is empty"),
        ("photo.jpg", b"\xff\xd8\xff\xe0" + bytes(range(256)) * 8, "is not a recording"),
        ("notes.txt", b"1 little\n2 little\n", "is not a recording"),
        ("cut.gz", b"\x1f\x8b\x08\x00", "is not a recording"),
        ("BINANCE.http.0.0", ANSWERS, "holds REST answers only"),
    ],
)
def test_what_is_no_recording_is_an_error_that_says_what_to_do(
    tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    """It names the file."""
    with pytest.raises(CaptureError) as caught:
        open_capture(write(tmp_path / name, content))

    assert caught.value.problem.startswith(problem)
    assert name in str(caught.value)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """And a folder is no file."""
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(CaptureError):
            open_capture(path)
