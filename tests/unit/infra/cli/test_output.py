"""Tables that other programs read are whole."""

from __future__ import annotations

import pytest

from infra.cli.output import print_table


def test_no_cell_is_cut_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """`flashmm config show | grep NAME` must find the name and its value, however long, on one line."""
    name, value = "FLASHMM_" + "N" * 70, "wss://" + "v" * 200

    print_table(("setting", "value"), [(name, value)])

    (line,) = [line for line in capsys.readouterr().out.splitlines() if name in line]
    assert value in line
