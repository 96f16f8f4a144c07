"""How far a document climbs that wants to, and how far a passage sinks in a long document.

Attacks are added to irrelevant documents, and relevant passages are put into long ones; a reranker
scores both among the candidates of the same query, with zelo's defences and without.
"""

from zelo.evaluation.robustness.attacks import ATTACKS, Attack
from zelo.evaluation.robustness.results import RobustnessReport
from zelo.evaluation.robustness.study import robustness

__all__ = ["ATTACKS", "Attack", "RobustnessReport", "robustness"]
