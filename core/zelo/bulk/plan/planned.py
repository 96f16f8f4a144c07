"""The plan: what a workload takes on given hardware, with everything it assumes."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from zelo.bulk.plan.arithmetic import Operations, Tokens, Workload, operations_of, tokens_of
from zelo.bulk.plan.cards import Card
from zelo.bulk.plan.frames import Frame
from zelo.bulk.plan.measured import MeasuredRun
from zelo.bulk.plan.memory import Memory, memory_of
from zelo.bulk.plan.models import NAMED, ModelShape
from zelo.bulk.plan.speed import COMPILED, EAGER, MEASURED_MODEL, MEASURED_ON
from zelo.errors import InputError
from zelo.scoring.options import ACCELERATOR_BATCH_TOKENS, CPU_BATCH_TOKENS

__all__ = ["Plan", "plan"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What scoring a workload takes."""

    shape: ModelShape
    workload: Workload
    frame: Frame
    tokens: Tokens
    """Of one query."""
    operations: Operations
    """Of one query."""
    memory: Memory
    on: Card | MeasuredRun
    share: float | None
    """Of the card's published peak; None for a measured run."""
    price: float | None
    """Of one hour of one card or machine, in a currency of yours."""
    deadline_hours: float | None
    assumptions: tuple[str, ...]

    @property
    def queries(self) -> float:
        """As many times the work of one query."""
        return self.workload.pairs / self.workload.documents_per_query

    @property
    def unique_tokens(self) -> float:
        """Tokens that go through the model."""
        return self.queries * self.tokens.unique

    @property
    def flop(self) -> float:
        """Floating-point operations of all of it."""
        return self.queries * self.operations.total

    @property
    def fits(self) -> bool | None:
        """Whether the model fits on the card; None where no card is planned with."""
        if isinstance(self.on, MeasuredRun):
            return None
        return self.memory.needed <= self.on.memory_gb * 1e9

    @property
    def hours(self) -> float | None:
        """Hours of one card or machine; None where the model does not fit."""
        if isinstance(self.on, MeasuredRun):
            return self.on.seconds_for(self.workload.pairs, self.flop) / 3600
        if not self.fits or self.share is None:
            return None
        return self.flop / (self.share * self.on.tflops * 1e12) / 3600

    @property
    def pairs_per_second(self) -> float | None:
        """Of one card or machine."""
        return None if self.hours is None else self.workload.pairs / (self.hours * 3600)

    @property
    def cost(self) -> float | None:
        """In the currency of the price."""
        return None if self.hours is None or self.price is None else self.hours * self.price

    @property
    def cards(self) -> int | None:
        """How many cards or machines keep the deadline."""
        if self.hours is None or self.deadline_hours is None:
            return None
        return math.ceil(self.hours / self.deadline_hours)

    def as_json(self) -> dict[str, Any]:
        """Return plain values, with what the properties say written out."""
        return {
            "model": self.shape.name,
            "on": asdict(self.on),
            "workload": asdict(self.workload),
            "share_of_peak": self.share,
            "hours": self.hours,
            "pairs_per_second": self.pairs_per_second,
            "price": self.price,
            "cost": self.cost,
            "deadline_hours": self.deadline_hours,
            "cards": self.cards,
            "fits": self.fits,
            "memory": self.memory._asdict() | {"needed": self.memory.needed},
            "frame": self.frame._asdict(),
            "query": self.tokens._asdict()
            | {"unique": self.tokens.unique, "unshared": self.tokens.unshared}
            | {"flop": self.operations._asdict() | {"total": self.operations.total}},
            "unique_tokens": self.unique_tokens,
            "flop": self.flop,
            "assumptions": list(self.assumptions),
        }


def plan(
    workload: Workload,
    shape: ModelShape,
    frame: Frame,
    on: Card | MeasuredRun,
    *,
    share: float | None = None,
    price: float | None = None,
    deadline_hours: float | None = None,
    pack_tokens: int | None = None,
) -> Plan:
    """Plan a workload.

    Args:
        workload: what is to be scored.
        shape: of the model.
        frame: of its prompts.
        on: a card, at a share of its published peak, or a run that was measured.
        share: of the peak, between 0 and 1; default, what zelo's path reached on an H200.
        price: of an hour of one card or machine.
        deadline_hours: in which all must be done.
        pack_tokens: tokens of a forward pass; default, zelo's own.

    Raises:
        InputError: a number has no meaning, or a prompt is longer than the model reads.
    """
    _check(on, share, price, deadline_hours)
    budget = pack_tokens or (ACCELERATOR_BATCH_TOKENS if isinstance(on, Card) else CPU_BATCH_TOKENS)
    tokens = tokens_of(workload, frame, budget, shape.context)
    return Plan(
        shape,
        workload,
        frame,
        tokens,
        operations_of(shape, tokens),
        memory_of(shape, max(budget, tokens.longest_pack)),
        on,
        (share or COMPILED.value) if isinstance(on, Card) else None,
        price,
        deadline_hours,
        tuple(_assumptions(shape, workload, on, share)),
    )


def _check(
    on: Card | MeasuredRun,
    share: float | None,
    price: float | None,
    deadline_hours: float | None,
) -> None:
    if share is not None and not (isinstance(on, Card) and 0 < share <= 1):
        message = f"share={share}; give a share of a card's peak, above 0 and at most 1"
        raise InputError(message)
    if price is not None and not 0 <= price < math.inf:
        raise InputError(f"price={price}; give what an hour costs")
    if deadline_hours is not None and not 0 < deadline_hours < math.inf:
        raise InputError(f"deadline_hours={deadline_hours}; give a number of hours above 0")


def _assumptions(
    shape: ModelShape, workload: Workload, on: Card | MeasuredRun, share: float | None
) -> list[str]:
    of_speed = _of_card(on, share, shape) if isinstance(on, Card) else _of_run(on)
    assumed = [
        *of_speed,
        f"{workload.documents_per_query:,} documents are scored for each query in one call and "
        "share its prefix; all lengths are means.",
        "Work divides evenly; loading the model, reading and writing take no time.",
    ]
    if not shape.family_is_told:
        assumed.append("The folder does not tell its family; the prompt is taken to be zerank's.")
    return assumed


def _of_card(card: Card, share: float | None, shape: ModelShape) -> list[str]:
    memory = "The workspace was counted on a CPU; 1 GB for driver and allocator is a guess."
    if share is not None:
        return [f"{share:.0%} of the published {card.tflops:,.0f} TFLOP/s, as you said.", memory]
    reached = (
        f"{COMPILED.value:.0%} of the published {card.tflops:,.0f} TFLOP/s (dense bfloat16): the "
        f"lowest of {len(COMPILED.measurements)} workloads on one H200, with {COMPILED.path}, by a "
        "forerunner of zelo's path, which itself was not measured on a card yet."
    )
    eager = (
        f"With {EAGER.path} it reached {EAGER.value:.0%} there. For hours without compiling: share "
        f"{EAGER.value:.2f}."
    )
    told = [reached, eager, memory]
    if shape.parameters < NAMED[MEASURED_MODEL].parameters:
        told.insert(0, f"Measured with {MEASURED_MODEL}'s shape; a smaller model reaches less.")
    if card.name != MEASURED_ON:
        told.insert(0, "NOT MEASURED ON THIS CARD: the H200's share is taken for it.")
    return told


def _of_run(run: MeasuredRun) -> list[str]:
    kept = (
        "operations per second stay what they were"
        if run.flop is not None
        else "pairs per second stay what they were: the same model, and texts as long as there"
    )
    warnings = [f"{warning}." for warning in run.warnings]
    return [f"Measured by {run.source}, on {run.machine}: {kept}.", *warnings]
