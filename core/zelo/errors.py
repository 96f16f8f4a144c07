"""Every error that zelo raises on purpose, drawn as one tree.

ZeloError
├── InputError (also ValueError)        a query, document or option cannot be used
│   └── QueryTooLongError               the query leaves no room for a document
├── ModelError                          a model cannot be found, read or trusted
│   ├── UnknownModelError               no such alias, hub id or folder
│   ├── ModelFileError                  a file is missing, cut short or not what it should be
│   └── UnsupportedModelError           whole files, but no model that zelo scores rightly
├── ScoringError                        a loaded model did not give a score
│   ├── NonFiniteScoreError             NaN or infinity; `.indices` names the documents
│   ├── ModelFailedError                an error inside the model; may pass, so is tried again
│   ├── ScoringTimeoutError             no scores within `timeout` (also TimeoutError)
│   ├── ClosedError                     the reranker was closed
│   └── ForkedError                     a forked child holds its parent's model
└── MissingExtraError (also ImportError)  an optional package is not installed

A message says what was wrong, where, and what to do. It never holds a document's text.
"""

from collections.abc import Sequence

__all__ = [
    "ClosedError",
    "ForkedError",
    "InputError",
    "MissingExtraError",
    "ModelError",
    "ModelFailedError",
    "ModelFileError",
    "NonFiniteScoreError",
    "QueryTooLongError",
    "ScoringError",
    "ScoringTimeoutError",
    "UnknownModelError",
    "UnsupportedModelError",
    "ZeloError",
]


class ZeloError(Exception):
    """Base of every error that zelo raises on purpose."""


class InputError(ZeloError, ValueError):
    """A query, document or option cannot be used as it was given."""


class QueryTooLongError(InputError):
    """The query, with its instruction and frame, leaves no room for a single document token."""


class ModelError(ZeloError):
    """A model cannot be found, read or trusted."""


class UnknownModelError(ModelError):
    """The name is no alias, no hub id and no existing folder."""


class ModelFileError(ModelError):
    """A file of the model is missing, cut short or not what its name says."""


class UnsupportedModelError(ModelError):
    """The files are whole, but not a model that zelo is known to score rightly."""


class ScoringError(ZeloError):
    """A loaded model did not give a score."""

    transient = False
    """The same call may succeed a moment later, so it is tried again (`max_retries`)."""


class NonFiniteScoreError(ScoringError):
    """The model returned NaN or infinity for some documents, so there is no ranking."""

    def __init__(self, indices: Sequence[int], query_index: int | None = None) -> None:
        self.indices = tuple(indices)
        """Positions, in the caller's list, of the documents (or pairs) without a finite score."""
        self.query_index = query_index
        """Position of the query, where several were ranked in one call."""
        shown = ", ".join(map(str, self.indices[:10])) + (", ..." if len(self.indices) > 10 else "")
        of_query = "" if query_index is None else f" of query {query_index}"
        message = (
            f"the model returned NaN or infinity for {len(self.indices)} document(s){of_query}, "
            f"at index {shown}; a ranking would be wrong. Check the weights, or try "
            "dtype='float32'."
        )
        super().__init__(message)

    def __reduce__(self) -> tuple[type["NonFiniteScoreError"], tuple[tuple[int, ...], int | None]]:
        return type(self), (self.indices, self.query_index)


class ModelFailedError(ScoringError):
    """The model raised an error on a single document, alone in its forward pass.

    Memory that another process held is the usual cause.
    """

    transient = True


class ScoringTimeoutError(ScoringError, TimeoutError):
    """The call's `timeout` went by; what was not computed was dropped."""


class ClosedError(ScoringError):
    """The reranker was closed; make a new one to score again."""


class ForkedError(ScoringError):
    """This process was forked from one that had loaded the model, and must load its own."""


class MissingExtraError(ZeloError, ImportError):
    """An optional package is not installed; the message holds the install command."""

    def __init__(self, purpose: str, extra: str) -> None:
        self.purpose = purpose
        self.extra = extra
        super().__init__(f'{purpose} needs more packages: pip install "zelo[{extra}]"')

    def __reduce__(self) -> tuple[type["MissingExtraError"], tuple[str, str]]:
        return type(self), (self.purpose, self.extra)
