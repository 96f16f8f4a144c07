"""What scoring a workload takes: tokens, operations, hours, memory, cost. `zelo plan`.

Arithmetic alone: nothing is loaded and nothing is run. Knows what was measured (`speed`) and what
makers publish (`cards`), and says which of the two a figure comes from.
"""

from zelo.bulk.plan.arithmetic import Workload
from zelo.bulk.plan.cards import CARDS, Card, card_named, own_card
from zelo.bulk.plan.frames import Frame, frame_of
from zelo.bulk.plan.measured import MeasuredRun, read_measured
from zelo.bulk.plan.models import ModelShape, shape_of
from zelo.bulk.plan.planned import Plan, plan

__all__ = [
    "CARDS",
    "Card",
    "Frame",
    "MeasuredRun",
    "ModelShape",
    "Plan",
    "Workload",
    "card_named",
    "frame_of",
    "own_card",
    "plan",
    "read_measured",
    "shape_of",
]
