"""zelo: ZeroEntropy's zerank rerankers, run by you.

Importing this package imports neither torch nor transformers; they are loaded with the model.
"""

from zelo.errors import (
    BudgetError,
    ClosedError,
    DialectError,
    ForkedError,
    InputError,
    MissingExtraError,
    ModelError,
    ModelFailedError,
    ModelFileError,
    NonFiniteScoreError,
    OutputError,
    QueryTooLongError,
    RemoteAnswerError,
    RemoteAuthError,
    RemoteError,
    ScoringError,
    ScoringTimeoutError,
    UnknownModelError,
    UnsupportedModelError,
    ZeloError,
)
from zelo.reranker import Reranker
from zelo.results import RankedDocument, Stats

__version__ = "0.1.0"

__all__ = [
    "BudgetError",
    "ClosedError",
    "DialectError",
    "ForkedError",
    "InputError",
    "MissingExtraError",
    "ModelError",
    "ModelFailedError",
    "ModelFileError",
    "NonFiniteScoreError",
    "OutputError",
    "QueryTooLongError",
    "RankedDocument",
    "RemoteAnswerError",
    "RemoteAuthError",
    "RemoteError",
    "Reranker",
    "ScoringError",
    "ScoringTimeoutError",
    "Stats",
    "UnknownModelError",
    "UnsupportedModelError",
    "ZeloError",
]
