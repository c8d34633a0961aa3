"""`flashmm train`: the price model, from simulated markets to a file with its scores."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.output import print_json, print_table, progress
from infra.training.ridge import Scores
from infra.training.train import Trained, TrainingPlan
from infra.training.train import train as run
from schemas.errors import ConfigurationError

__all__ = ["train"]


def train(
    out: Annotated[Path, typer.Option(help="Folder for the model (.pt) and its description (.json).")],
    seconds: Annotated[int, typer.Option(min=1, help="Simulated time of each seed.")] = TrainingPlan().seconds,
    as_json: Annotated[bool, typer.Option("--json", help="Print the description, with the file's path.")] = False,
) -> None:
    """Train the linear model on SIMULATED markets and judge it on others, beside a naive forecast."""
    if find_spec("torch") is None:
        raise ConfigurationError("torch", "is not installed", "Install it: pip install 'flashmm[model]'")
    from infra.training.export import export

    trained = run(TrainingPlan(seconds=seconds), progress)
    path = export(trained.model, trained.description(), out)
    if as_json:
        print_json({"path": str(path), **trained.description()})
    else:
        _print(trained, path)


def _print(trained: Trained, path: Path) -> None:
    plan = trained.plan
    rows = [
        (f"ridge {ridge:g}" + (", taken" if ridge == trained.ridge else ""), *_cells(scores))
        for ridge, scores in trained.walk_forward.items()
    ]
    rows.append(("unseen seeds", *_cells(trained.validation)))
    print_table(
        ("", "rows", "R2", "MSE", "naive", "hits", "naive"),
        rows,
        title=(
            f"{plan.model_id}: the mid's change over {plan.horizon_ms} ms, in bps, out of sample:\n"
            f"walking forward on seeds {_list(plan.train_seeds)} by penalty, then on {_list(plan.validation_seeds)}.\n"
            "Naive MSE: the mid stays. Naive hits: it always goes the commoner way."
        ),
    )
    if trained.validation.r2 <= 0:
        print("On seeds that it has not seen, the model is no better than saying that the mid stays.")
    print(f"Written to {path}")


def _list(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def _cells(scores: Scores) -> tuple[str, ...]:
    return (
        str(scores.rows),
        f"{scores.r2:+.4f}",
        f"{scores.mse:.4f}",
        f"{scores.naive_mse:.4f}",
        f"{scores.hit_rate:.1%}",
        f"{scores.naive_hit_rate:.1%}",
    )
