"""The feed: the same calls as on a live socket, on the recorder's clock."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from producers.core import Effects
from producers.replay.captures import Capture, open_capture
from producers.replay.feed import Moment, replay, shift
from schemas.enums import Side, TickKind
from schemas.errors import ProtocolError
from schemas.reasons import DeadLetterReason
from schemas.records import Tick

START_S = 1_700_000_000
START_US = START_S * 1_000_000


class Diary:
    """A source, and its venue's reading of the recording, that notes how it is called."""

    name = "diary"
    symbols: Sequence[tuple[str, str]] = ()

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    @property
    def source(self) -> Diary:
        return self

    def frame_tag(self, text: bytes) -> str | None:
        if text == b"whose?":
            raise ProtocolError(DeadLetterReason.UNKNOWN_SYMBOL, "no idea")
        return "tag" if text.startswith(b"answer") else None

    def answer_tag(self, url: str) -> str | None:
        return "tag" if url.endswith("/wanted") else None

    def open(self, now_us: int) -> Effects:
        return self._note("open", now_us)

    def receive(self, frame: str | bytes, now_us: int) -> Effects:
        return self._note("receive", now_us)

    def fetched(self, tag: str, body: bytes | None, now_us: int) -> Effects:
        return self._note(f"fetched {tag}", now_us)

    def tick(self, now_us: int) -> Effects:
        return self._note("tick", now_us)

    def close(self, now_us: int) -> Effects:
        return self._note("close", now_us)

    def _note(self, what: str, now_us: int) -> Effects:
        self.calls.append((what, now_us - START_US))
        return Effects()


def recorded(folder: Path, *lines: tuple[float, str]) -> Capture:
    """A stamped recording; times in seconds after the start."""
    path = folder / "capture"
    path.write_text("".join(f"{START_S * 10**9 + round(at * 10**9)} {text}\n" for at, text in lines))
    return open_capture(path)


def replayed(capture: Capture) -> tuple[Diary, list[Moment]]:
    """How the source was called, up to the last line, and what came of it."""
    diary = Diary()
    moments = list(replay(capture, diary))
    assert [what for what, _ in diary.calls[-4:]] == ["tick"] * 4
    del diary.calls[-4:]
    return diary, moments


def test_the_session_opens_at_the_first_line_and_is_told_the_time(tmp_path: Path) -> None:
    """Every 250 ms between lines; it stays open at the end."""
    diary, _ = replayed(recorded(tmp_path, (0, "a"), (0.6, "b")))

    assert diary.calls == [
        ("open", 0),
        ("receive", 0),
        ("tick", 250_000),
        ("tick", 500_000),
        ("receive", 600_000),
    ]


def test_the_heartbeat_after_the_last_line_is_waited_for(tmp_path: Path) -> None:
    """One second, as live; it tells the watermark of the last frames."""
    diary = Diary()
    list(replay(recorded(tmp_path, (0, "a")), diary))

    assert diary.calls[2:] == [("tick", 250_000 * n) for n in (1, 2, 3, 4)]


def test_a_long_silence_is_not_filled(tmp_path: Path) -> None:
    """Nothing shows that the recorder was still there after 30 s; time goes on with the next line."""
    diary, _ = replayed(recorded(tmp_path, (0, "a"), (86_400, "b"), (86_400.3, "c")))

    assert [call for call, _ in diary.calls].count("tick") == 121
    assert diary.calls[-3:] == [("receive", 86_400_000_000), ("tick", 86_400_250_000), ("receive", 86_400_300_000)]


def test_a_clock_set_back_is_followed(tmp_path: Path) -> None:
    """Each line keeps the time that it was recorded at."""
    diary, _ = replayed(recorded(tmp_path, (10, "a"), (5, "b"), (5.3, "c")))

    assert diary.calls[1:] == [
        ("receive", 10_000_000),
        ("receive", 5_000_000),
        ("tick", 5_250_000),
        ("receive", 5_300_000),
    ]


def test_answers_are_told_from_frames(tmp_path: Path) -> None:
    """The venue knows which line answers what; one that it cannot place is a dead letter."""
    diary, moments = replayed(recorded(tmp_path, (0, "a"), (0, "answer"), (0, "whose?"), (0, "b")))

    assert [call for call, _ in diary.calls] == ["open", "receive", "fetched tag", "receive"]
    assert [bad.reason for m in moments for bad in m.effects.bad] == [DeadLetterReason.UNKNOWN_SYMBOL]


def test_damaged_lines_are_dead_letters(tmp_path: Path) -> None:
    """Counted, and the rest goes on; one before the first time does not open the session."""
    capture = recorded(tmp_path, (0, "a"))
    capture.path.write_bytes(b"\xff\xfe\n" + capture.path.read_bytes() + b"half a li")
    diary, moments = replayed(capture)

    assert diary.calls == [("open", 0), ("receive", 0)]
    assert [(b.reason, b.payload) for m in moments for b in m.effects.bad] == [
        (DeadLetterReason.MALFORMED, b"\xff\xfe"),
        (DeadLetterReason.MALFORMED, b"half a li"),
    ]


def test_each_connection_of_the_recorder_is_a_session(tmp_path: Path) -> None:
    """What was fetched before the first frame belongs to the connection that follows."""
    path = tmp_path / "X.ws.1.0"
    path.write_text(
        f"https://x/wanted -> {START_S}.0: a\n"
        f"https://x/other -> {START_S}.0: a\n"
        f"wss://x <-> {START_S}.1\n"
        f"wss://x <- {START_S}.1: hello\n"
        f"{START_S}.1: a\n"
        f"wss://x <-> {START_S}.2\n"
        f"{START_S}.2: b\n"
    )
    diary, _ = replayed(open_capture(path))

    assert [call for call, _ in diary.calls] == ["open", "fetched tag", "receive", "close", "open", "receive"]


def test_a_shift_moves_times_and_nothing_else() -> None:
    """Ids, numbers and what has no time stay."""
    tick = Tick(
        venue="v",
        source="s",
        symbol="A/B",
        kind=TickKind.TRADE,
        side=Side.BUY,
        price=1,
        size=1,
        ts_event=10,
        ts_recv=20,
        session=7,
        message=8,
        ordinal=0,
        first=True,
        last=True,
        trade_id="9",
        sequence=9,
    )
    moved = shift(tick, 100)

    assert (moved.ts_event, moved.ts_recv, moved.watermark) == (110, 120, None)
    assert shift(moved, -100) == tick
    assert (moved.session, moved.message, moved.trade_id, moved.sequence) == (7, 8, "9", 9)
