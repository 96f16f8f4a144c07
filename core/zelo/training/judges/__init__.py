"""Judges: who says which of two documents answers its query better."""

from zelo.training.judges.chat import ChatJudge
from zelo.training.judges.judge import (
    Judge,
    Pair,
    PairwiseJudge,
    PointwiseJudge,
    PointwiseScores,
    Side,
    Vote,
)
from zelo.training.judges.oracle import OracleJudge
from zelo.training.judges.reranker import RerankerJudge

__all__ = [
    "ChatJudge",
    "Judge",
    "OracleJudge",
    "Pair",
    "PairwiseJudge",
    "PointwiseJudge",
    "PointwiseScores",
    "RerankerJudge",
    "Side",
    "Vote",
]
