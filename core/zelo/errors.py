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
│   ├── RemoteError                     a server could not be reached, or refused; `.status`
│   │   ├── RemoteAuthError             it wants another key
│   │   ├── RemoteAnswerError           its answer is not the scores that were asked for
│   │   └── DialectError                it speaks another dialect, or none that is certain
│   ├── ClosedError                     the reranker was closed
│   └── ForkedError                     a forked child of a process that used CUDA
├── OutputError                         a file cannot be written: no room, no permission
├── BudgetError                         judging would cost more than the budget allows
└── MissingExtraError (also ImportError)  an optional package is not installed

`zelo.bulk.errors` adds two that bulk scoring alone raises.

A message says what was wrong, where, and what to do. It never holds a document's text.
"""

from collections.abc import Callable, Iterator, Sequence

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
    "RemoteAnswerError",
    "RemoteAuthError",
    "RemoteError",
    "ScoringError",
    "ScoringTimeoutError",
    "UnknownModelError",
    "UnsupportedModelError",
    "ZeloError",
    "causes",
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
    retry_after: float | None = None
    """Seconds after which it should be; None leaves it to whoever tries."""


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


class RemoteError(ScoringError):
    """A server could not be reached, or refused to score.

    Messages name method, host, path and status, never a key, a header or a text that was sent.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        transient: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status; None where nothing was answered."""
        self.request_id = request_id
        """The server's own name for the request, for its operator."""
        self.retry_after = retry_after
        """Seconds after which the server asked to be asked again."""
        self.transient = transient

    def __reduce__(self) -> tuple[Callable[..., "RemoteError"], tuple[object, ...]]:
        details = (self.status, self.request_id, self.retry_after, self.transient)
        return _remote_error, (type(self), str(self), *details)


class RemoteAuthError(RemoteError):
    """The server does not accept the key, or wants one."""


class RemoteAnswerError(RemoteError):
    """The server's answer is not one finite score for each document."""


class DialectError(RemoteError):
    """The server speaks another dialect than was said, or none that can be told for certain."""


class ClosedError(ScoringError):
    """The reranker was closed; make a new one to score again."""


class ForkedError(ScoringError):
    """This process was forked from one that had used CUDA, and cannot load a model on a card."""


class OutputError(ZeloError):
    """A file of the output cannot be written, or not read back; what is done is kept."""


class BudgetError(ZeloError):
    """The budget does not allow what is still to be asked; what was paid for is kept."""


class MissingExtraError(ZeloError, ImportError):
    """An optional package is not installed; the message holds the install command."""

    def __init__(self, purpose: str, extra: str) -> None:
        self.purpose = purpose
        self.extra = extra
        super().__init__(f'{purpose} needs more packages: pip install "zelo[{extra}]"')

    def __reduce__(self) -> tuple[type["MissingExtraError"], tuple[str, str]]:
        return type(self), (self.purpose, self.extra)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it was raised from, the root last."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):  # of attempts at several addresses
            for one in error.exceptions:
                yield from causes(one)
        error = error.__cause__ or error.__context__


def _remote_error(
    kind: type[RemoteError],
    message: str,
    status: int | None,
    request_id: str | None,
    retry_after: float | None,
    transient: bool,
) -> RemoteError:
    return kind(
        message,
        status=status,
        request_id=request_id,
        retry_after=retry_after,
        transient=transient,
    )
