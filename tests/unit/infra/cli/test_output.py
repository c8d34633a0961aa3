"""Tables that other programs read are whole."""

from __future__ import annotations

import pytest

from infra.cli.output import print_table, utc_text


def test_no_cell_is_cut_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """`flashmm config show | grep NAME` must find the name and its value, however long, on one line."""
    name, value = "FLASHMM_" + "N" * 70, "wss://" + "v" * 200

    print_table(("setting", "value"), [(name, value)])

    (line,) = [line for line in capsys.readouterr().out.splitlines() if name in line]
    assert value in line


def test_a_title_stays_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """However narrow its table is."""
    print_table(("a", "b"), [("1", "2")], title="a title that is longer than the table below it")

    assert capsys.readouterr().out.splitlines()[0] == "a title that is longer than the table below it"


def test_times_are_written_for_people() -> None:
    """To the second, with their zone; what has none says nothing."""
    assert utc_text(1_700_000_045_999_999) == "2023-11-14 22:14:05 UTC"
    assert utc_text(None) == ""
