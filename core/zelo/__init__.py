"""zelo: ZeroEntropy's zerank rerankers, run by you.

Importing this package imports neither torch nor transformers; they are loaded with the model.
"""

import importlib
import typing

from zelo._common import moved
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

if typing.TYPE_CHECKING:
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

moved.keep_old_names(
    {
        "zelo.collections": "zelo.corpora",
        "zelo.endpoints": "zelo.llm",
        "zelo.exporting": "zelo.export",
        "zelo.planning": "zelo.bulk.plan",
    }
)

_LATER = {"Reranker": "zelo.reranker", "RankedDocument": "zelo.results", "Stats": "zelo.results"}

if not typing.TYPE_CHECKING:  # a checker sees the imports above, and no names that are not there

    def __getattr__(name: str) -> object:
        """Import what takes time when it is asked for; before, the command hears no interrupt."""
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
