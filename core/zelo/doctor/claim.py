"""What an endpoint claims to be, and what is known of that."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zelo.doctor.matching import Prediction
from zelo.doctor.pairs import Known
from zelo.doctor.scales import OutputScale, scales_of
from zelo.scoring.catalog import ALIASES, HUB_NAMES
from zelo.scoring.families import Family
from zelo.wire import Scale

if TYPE_CHECKING:  # these import torch
    from zelo.doctor.reference import Reference
    from zelo.doctor.witness import Testimony

__all__ = ["Claim"]


@dataclass(frozen=True)
class Claim:
    """A model, on a scale, with what is known of its numbers."""

    model: str
    family: Family
    scale: Scale
    """What the endpoint's numbers ought to be."""
    known: Known | None = None
    """What the right model gives; None where nobody knows."""
    reference: "Reference | None" = None
    """The model's weights, which also tell what each mistake gives."""
    own: tuple[float, ...] = ()
    """What zelo reads in the folder, where a witness was asked: by `reference`, or where there is
    none, as the model in this process answered."""
    testimony: "Testimony | None" = None
    """What another program reads there; this then is `known`."""
    silence: str | None = None
    """Why no other program could be asked."""
    long: tuple[int, float] | None = None
    """Words of a long document of `zelo.doctor.lengths`, and the witness's raw logit of it."""

    @property
    def expected(self) -> OutputScale:
        """The scale that is right."""
        return next(scale for scale in self.scales if scale.name == self.scale)

    @property
    def scales(self) -> tuple[OutputScale, ...]:
        """Every scale, the right one first."""
        found = scales_of(self.family)
        return tuple(sorted(found, key=lambda scale: scale.name != self.scale))

    @property
    def is_zerank(self) -> bool:
        """Its name is that of a published zerank, whose order is much like any other's."""
        source = ALIASES.get(self.model) or HUB_NAMES.get(self.model)
        return source is not None and (source.family or "").startswith("zerank")

    @property
    def apart(self) -> list[float]:
        """How far zelo's own reading is from the witness's, pair by pair, in logits."""
        told = self.testimony.logits if self.testimony else ()
        return [abs(a - b) for a, b in zip(self.own, told, strict=True)]

    def right(self, known: Known) -> Prediction:
        """Return what a right endpoint would have answered."""
        return Prediction((), "the right model", self.expected, known.logits)
