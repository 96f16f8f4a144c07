"""Does reranking help? Systems over collections, measured, tested and shown.

evaluation = evaluate(collections, systems)  # every query, every system; resumable
summary = summarise(evaluation)  # measures, significance, costs, calibration
rendered(summary), write_folder(evaluation, summary, folder)  # of zelo.evaluation.reporting
"""

from zelo.evaluation.experiment import aevaluate, evaluate
from zelo.evaluation.rerankers import Oracle, Pointwise, RandomOrder
from zelo.evaluation.results import Evaluation
from zelo.evaluation.summary import summarise
from zelo.evaluation.systems import System

__all__ = [
    "Evaluation",
    "Oracle",
    "Pointwise",
    "RandomOrder",
    "System",
    "aevaluate",
    "evaluate",
    "summarise",
]
