"""A partition of `market.ticks` as one unit of work: its stages, their state, and what they emit.

Stages run one after the other on the same batch, with no queue between them, so all of them always stand at the same
offset and one snapshot covers them all. The Faust agents and `flashmm replay` drive this same object.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum, unique
from typing import Any

import numpy as np

from processors.kernel.bars import BarBuilder, BarConfig
from processors.kernel.features import FeatureBuilder, FeatureConfig
from processors.kernel.inventory import Inventory
from processors.kernel.model import Inference, Model
from processors.kernel.names import Names
from processors.kernel.normalise import NormaliseConfig, Normaliser
from processors.kernel.ownorders import OwnOrders
from processors.kernel.quoting import Quoter, QuotingConfig
from processors.kernel.steprows import StepRows, step_rows
from processors.kernel.steps import GridStep, Input, State, Step, Ticks
from processors.kernel.watch import Watch
from schemas.columns.rows import Rows, row_dtype
from schemas.enums import BarState, ContractKind, InstrumentSource, Timeframe
from schemas.instrument_table import InstrumentTable
from schemas.reasons import RejectReason
from schemas.records import (
    Book,
    FeatureVector,
    Instrument,
    Market,
    Prediction,
    Quote,
    QuoteDecision,
    Record,
    Tick,
    Trade,
)

__all__ = ["KERNEL_VERSION", "Output", "PartitionPipeline", "PipelineConfig", "Stage"]

KERNEL_VERSION = 5
"""Rises when the state or the meaning of the stages changes: a snapshot of another version is not restored."""

_ROWS: Mapping[type[Record], str] = {Trade: "trades", Quote: "records.quote", Book: "records.book"}
_FRAMES, _STATES = tuple(Timeframe), tuple(BarState)


@unique
class Stage(StrEnum):
    """The stages of a partition, in their order."""

    NORMALISE = "normalise"
    BARS = "bars"
    FEATURES = "features"
    INFERENCE = "inference"
    QUOTING = "quoting"


@dataclass(frozen=True, slots=True)
class Output:
    """A record to publish and the ts_recv of the tick that triggered it."""

    record: Record
    ts_trigger: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineConfig:
    """What the stages of a worker are configured with.

    Attributes:
        publish_trades: Whether accepted trades are republished, one for one.
    """

    stages: frozenset[Stage] = frozenset(Stage)
    publish_trades: bool = True
    normalise: NormaliseConfig = field(default_factory=NormaliseConfig)
    bars: BarConfig = field(default_factory=BarConfig)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    quoting: QuotingConfig = field(default_factory=QuotingConfig)

    @property
    def is_at_grid(self) -> bool:
        """Whether there are stages that work at grid points."""
        return bool(self.stages - {Stage.NORMALISE, Stage.BARS})


class PartitionPipeline:
    """The stages of one partition.

    Args:
        topic, partition: Where the ticks come from; part of every record's cause.
        model: None: predictions are not made and quotes are model-free.
        epoch: Epoch of the decisions made from here on.
        on_reject: Told of every record that is not accepted: (offset, tick, reason).
        instruments: What is known from the start; `self.instruments` takes what comes later.
        timer_us: A clock that only rises, to measure predictions by; None: they are not measured.
    """

    def __init__(
        self,
        config: PipelineConfig,
        topic: str,
        partition: int,
        *,
        instruments: Iterable[Instrument] = (),
        model: Model | None = None,
        epoch: int = 0,
        on_reject: Callable[[int, Tick | None, RejectReason], None] | None = None,
        timer_us: Callable[[], int] | None = None,
    ) -> None:
        self.config = config
        self.partition = partition
        self.inventory = Inventory(config.quoting.mode, config.quoting.account)
        quoted = config.quoting
        self.own_orders = OwnOrders(quoted.mode, quoted.account, quoted.own_grace_us) if quoted.shows_own else None
        self.instruments = InstrumentTable(instruments)
        self.names = Names()
        self.normaliser = Normaliser(
            config.normalise,
            topic,
            partition,
            self.names,
            is_stepwise=config.is_at_grid,
            publish_trades=config.publish_trades,
            on_reject=on_reject,
        )
        self.bar_builder = BarBuilder(config.bars, topic, partition, self.names)
        self.feature_builder = FeatureBuilder(config.features, self.names, topic, partition)
        self.inference = Inference(model, topic, partition, timer_us)
        self.watch = Watch(self.names, config.quoting.jump_bps)
        reference = model.reference if model else None
        self.quoter = Quoter(config.quoting, self.names, self.instruments, topic, partition, epoch, reference)
        self._quotes = Rows(Quote, np.zeros(0, row_dtype(Quote)), ())
        self.emitted: Counter[str] = Counter()
        self.trimmed = 0
        self._outputs: list[Output | Rows] = []

    def normalise(self, inputs: Sequence[Input] | Ticks) -> Sequence[Step | StepRows]:
        """Judge ticks; gives the steps that the later stages read, most of them as rows."""
        steps: Sequence[Step | StepRows]
        if isinstance(inputs, Ticks):
            steps = self.normaliser.run_columns(inputs.offsets, inputs.columns)
        else:
            steps = self.normaliser.run(inputs)
        for rows in self.normaliser.take():
            if rows.record is Quote:
                self._quotes = rows
            if len(rows):
                self._outputs.append(rows)
                self.emitted[_ROWS[rows.record]] += len(rows)
        return steps

    def bars(self, steps: Sequence[Step | StepRows]) -> None:
        """Build bars from the steps."""
        self._emit_bars(self.bar_builder.run(step_rows(steps, self.names)))

    def features(self, steps: Sequence[Step | StepRows]) -> None:
        """Compute features at the grid points of the steps, on books without our own orders."""
        if self.own_orders is not None:
            self._take_own_out(steps, self.own_orders)
        self.feature_builder.run(steps, self._emit)

    def infer(self, steps: Sequence[Step | StepRows]) -> None:
        """Run the model on the features of the steps."""
        self.inference.run(steps, self._emit)

    def quote(self, steps: Sequence[Step | StepRows]) -> None:
        """Decide quotes at the grid points of the steps that were made last, and pull them in between."""
        self.quoter.run(self.watch.run(steps, self._quotes), self._emit, self.inventory)

    def run(self, inputs: Sequence[Input] | Ticks) -> None:
        """Run every configured stage on a batch."""
        steps = self.normalise(inputs)
        stages = self.config.stages
        if Stage.BARS in stages:
            self.bars(steps)
        if Stage.FEATURES in stages:
            self.features(steps)
        if Stage.INFERENCE in stages:
            self.infer(steps)
        if Stage.QUOTING in stages:
            self.quote(steps)

    def lose(self, count: int) -> None:
        """Note that retention removed the next `count` records of the log before they were applied."""
        self.trimmed += count
        self.normaliser.mark_gap()

    def take(self) -> list[Output | Rows]:
        """Hand over what was emitted since the last call, in order: single records, and rows of one kind in bulk."""
        outputs, self._outputs = self._outputs, []
        return outputs

    def counters(self) -> dict[str, int]:
        """Give the cumulative counts of ticks and of emitted records, by name."""
        normaliser = self.normaliser
        counts = {
            "ticks.received": normaliser.received,
            "ticks.accepted": normaliser.accepted,
            "ticks.held": normaliser.held,
            "bars.too_late": self.bar_builder.too_late,
            "bars.unfit": self.bar_builder.unfit,
            "trimmed": self.trimmed,
        }
        counts |= {f"ticks.rejected.{reason}": count for reason, count in normaliser.rejected.items() if count}
        return counts | dict(self.emitted)

    def state(self) -> State:
        """Give all that a restart needs: JSON-able values, and tables."""
        return {
            "names": self.names.state(),
            "normalise": self.normaliser.state(),
            "bars": self.bar_builder.state(),
            "features": self.feature_builder.state(),
            "inference": self.inference.state(),
            "watch": self.watch.state(),
            "quoting": self.quoter.state(),
            "own_orders": self.own_orders.state() if self.own_orders else None,
            "instruments": [asdict(instrument) for instrument in self.instruments.records()],
            "inventory": self.inventory.state(),
            "emitted": dict(sorted(self.emitted.items())),
            "trimmed": self.trimmed,
        }

    def restore(self, state: State) -> None:
        """Take over the state of a snapshot."""
        self.names.restore(state["names"])
        self.normaliser.restore(state["normalise"])
        self.bar_builder.restore(state["bars"])
        self.feature_builder.restore(state["features"])
        self.inference.restore(state["inference"])
        self.watch.restore(state["watch"])
        self.quoter.restore(state["quoting"])
        if self.own_orders is not None and state["own_orders"] is not None:
            self.own_orders.restore(state["own_orders"])
        self.instruments.restore(_instrument(saved) for saved in state["instruments"])
        self.inventory.restore(state["inventory"])
        self.emitted = Counter(state["emitted"])
        self.trimmed = state["trimmed"]

    def shows_own(self, market: Market) -> bool:
        """Tell whether a market's book shows our orders: what is computed from it depends on more than the log."""
        return self.own_orders is not None and market[0] in self.config.quoting.venues

    def _take_own_out(self, steps: Sequence[Step | StepRows], own: OwnOrders) -> None:
        for step in steps:
            if isinstance(step, GridStep):
                views = ((market, view) for market, view in step.books.items() if self.shows_own(market))
                step.books = {**step.books, **{market: own.without(view) for market, view in views}}
                step.orders_offset = own.next_offset

    def _emit(self, record: Record, ts_trigger: int) -> None:
        self._outputs.append(Output(record, ts_trigger))
        for name in _counter_names(record):
            self.emitted[name] += 1

    def _emit_bars(self, bars: Rows) -> None:
        if not len(bars):
            return
        self._outputs.append(bars)
        numbers = bars.values["timeframe"] * len(_STATES) + bars.values["state"]
        counts = np.bincount(numbers)
        for number in np.flatnonzero(counts).tolist():
            frame, state = divmod(number, len(_STATES))
            self.emitted[f"bars.{_FRAMES[frame]}.{_STATES[state].lower()}"] += int(counts[number])


def _instrument(saved: Mapping[str, Any]) -> Instrument:
    kinds = {"contract": ContractKind(saved["contract"]), "source": InstrumentSource(saved["source"])}
    return Instrument(**{**saved, **kinds})


def _counter_names(record: Record) -> tuple[str, ...]:
    match record:
        case FeatureVector():
            return ("features",)
        case Prediction():
            return ("predictions",)
        case QuoteDecision():
            return ("decisions", *(f"denied.{reason}" for reason in record.reasons))
    return (f"records.{type(record).__name__.lower()}",)
