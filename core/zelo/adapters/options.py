"""The options of every adapter, and what an adapter does with them.

pydantic classes to be mixed into a framework's own base class, before it:
`class ZeloRerank(RankingOptions, BaseNodePostprocessor)`. An adapter adds the translation of its
framework's types, and no scoring.
"""

import inspect
import logging
import os
import pickle
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, Self, TypeVar, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic.json_schema import SkipJsonSchema

from zelo.adapters.foreign import refuse_foreign
from zelo.adapters.outcome import Outcome, Place, warn_of_truncation
from zelo.errors import InputError, ZeloError
from zelo.reranker import Reranker
from zelo.results import RankedDocument, Stats
from zelo.scoring import Progress
from zelo.scoring.batch import InvalidText
from zelo.scoring.options import Head, LongDocuments, Quantization
from zelo.scoring.ranking import Cutoff

if TYPE_CHECKING:
    import torch

__all__ = ["Numeric", "RankingOptions", "ScoringOptions", "Takes"]

log = logging.getLogger("zelo")
T = TypeVar("T")
Given = TypeVar("Given", contravariant=True)
Kept = TypeVar("Kept", covariant=True)
Adapter = TypeVar("Adapter", bound="ScoringOptions")
Fixed = Annotated[T, Field(frozen=True)]
"""Chosen when the model is; for another value, make another adapter."""
Numeric = Annotated[T, BeforeValidator(lambda value: _not_bool(value))]
"""Of pydantic's numbers True is one; here it is not."""
OF_RERANKER = frozenset(inspect.signature(Reranker).parameters)
"""Options that decide on the reranker itself."""

if TYPE_CHECKING:

    class Takes(Generic[Given, Kept]):
        """A field that is given as one type and read as another: `Takes[str | Path, str]`.

        A descriptor for type checkers; here it is the type that is read, which pydantic makes of
        what is given. A default needs a cast, as they would compare it with the descriptor.
        """

        def __get__(self, instance: object, owner: object) -> Kept: ...
        def __set__(self, instance: object, value: Given) -> None: ...

else:

    class Takes:
        def __class_getitem__(cls, types: tuple[Any, Any]) -> Any:
            return types[1]


class ScoringOptions(BaseModel):
    """Which model scores, how it runs, and what counts as relevant.

    The model is loaded at its first use, or by `warmup()`. Adapters with equal options, of any
    framework, share one copy of the weights. Pickling and copying carry options, and a subclass's
    private attributes, never weights or the API key.
    """

    model_config = ConfigDict(
        extra="forbid",
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,  # it may hold the API key
        use_attribute_docstrings=True,
        validate_assignment=True,
    )

    model: Fixed[Takes[str | os.PathLike[str], str]] = cast(Any, "zerank-2")
    """An alias such as `zerank-2` or `zelo-nano`, a hub id, or a local folder."""
    family: Fixed[str | None] = None
    """The kind of model, for a folder that does not tell."""
    head: Fixed[Head | None] = None
    """`trained` scores with a classifier's own head as it is; default, the family's."""
    device: Fixed[Takes["str | int | torch.device | None", str | None]] = cast(Any, None)
    """A torch device such as `cuda:0`, or `all` for a copy on each accelerator; default, one."""
    dtype: Fixed[Takes["str | torch.dtype | None", str | None]] = cast(Any, None)
    """`float32`, `bfloat16` or `float16`; default, bfloat16 where the hardware has it."""
    quantization: Fixed[Quantization | None] = None
    """`fp8` or `int8` for speed, `int8-weights` or `int4-weights` for memory; default, none."""
    compile: Fixed[bool | None] = None
    """Compile the layers at the first use; default, on CUDA."""
    revision: Fixed[str | None] = None
    """Commit on the hub instead of the pinned one."""
    local_files_only: Fixed[bool] = False
    """Never ask the network."""
    cache_dir: Fixed[Takes[str | os.PathLike[str] | None, str | None]] = cast(Any, None)
    """Where hub downloads are kept; default, the hub library's own cache."""
    max_tokens: Fixed[int | None] = None
    """Longest prompt, in tokens; default, 32,768 or what the model reads."""
    max_document_tokens: Fixed[int | None] = None
    """Longest document, in tokens; default, what the prompt leaves."""
    long_documents: Fixed[LongDocuments] = "truncate"
    """`truncate` reads a longer document's beginning, `chunk` the best of overlapping windows."""
    max_batch_tokens: Fixed[int | None] = None
    """Tokens per forward pass; default, by device."""
    strip: Fixed[bool] = False
    """Remove white space around query and documents, as the vendor's API did."""
    invalid_text: Fixed[InvalidText] = "raise"
    """`raise` refuses a text with a lone surrogate, `replace` has the model read U+FFFD for it."""
    base_url: Fixed[Takes[str | Sequence[str] | None, str | list[str] | None]] = cast(Any, None)
    """A server to score on instead of this process, or several in order of preference."""
    dialect: Fixed[str] = "auto"
    """What the server speaks; `auto` finds out."""
    score_scale: Fixed[Literal["probability", "logit", "logit/5"] | None] = None
    """What the server's scores are, where its dialect does not promise it."""
    allow_http: Fixed[bool] = False
    """Send the key in clear text to another host."""
    api_key: Fixed[Takes[str | SecretStr | None, SecretStr | None]] = Field(
        default_factory=lambda: cast(Any, _key_from_environment()), exclude=True, repr=False
    )
    """The server's key; default, the environment's ZELO_API_KEY. Never dumped or pickled."""
    timeout: Fixed[float | None] = None
    """Seconds a call may take before it fails; default, 60 for a server, no limit here."""
    max_retries: Fixed[int] = 2
    """How often a call is made again after a failure that may pass, within `timeout`."""
    reranker: Fixed[SkipJsonSchema[Reranker | None]] = Field(default=None, exclude=True, repr=False)
    """A `zelo.Reranker` to share, instead of the options above; otherwise, the one made of them."""
    instruction: str | None = None
    """What counts as relevant, for models that take an instruction (zerank-2)."""
    progress: SkipJsonSchema[Progress | None] = Field(default=None, exclude=True, repr=False)
    """Called with (documents done, documents in all), from the thread that scores."""

    if not TYPE_CHECKING:  # type checkers read arguments and attributes from the fields

        def __init__(self, **options: Any) -> None:
            refuse_foreign(options, type(self).model_fields)
            super().__init__(**_with_reranker(options))

        def __setattr__(self, name: str, value: Any) -> None:
            """Assign an option; pydantic's own refusal of a fixed one would repeat the value."""
            field = type(self).model_fields.get(name)
            if field is not None and field.frozen:
                message = f"{name} is chosen with the model; for another, make another adapter"
                raise InputError(message)
            super().__setattr__(name, value)

    def warmup(self) -> None:
        """Load the model and run it once, so that the first query does not wait for that."""
        self._scoring.warmup()

    def stats(self) -> Stats:
        """Return what the loaded model has done so far, for all that share it."""
        return self._scoring.stats()

    def close(self) -> None:
        """Give the model back; its memory is freed when nobody else in the process uses it.

        Closes `reranker`, also for others that were given the same one. Scoring after this raises
        ClosedError.
        """
        self._scoring.close()

    def with_options(self, **changes: Any) -> Self:
        """Return a copy with other options for some calls; the model is shared.

        `reranker.with_options(top_n=10, instruction="Prefer official sources.")`

        Raises:
            ValueError: a name is unknown, a value has no meaning, or an option belongs to the
                model, which the copy shares.
        """
        refuse_foreign(changes, type(self).model_fields)
        changed = self.model_copy()
        for name, value in changes.items():
            setattr(changed, name, value)
        return changed

    @property
    def _scoring(self) -> Reranker:
        if self.reranker is None:
            raise InputError("this adapter was made without __init__, and has no model")
        return self.reranker

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self.model_copy()

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[Any, ...]]:
        """Replace the frameworks' own pickling, which stores keys and serialises weights.

        A subclass's `__init__`, which may ask for anything, is not called again; a private
        attribute that cannot be pickled, such as a lock, begins anew.
        """
        own = {
            name: getattr(self, name)
            for name, field in type(self).model_fields.items()
            if not field.exclude and name not in OF_RERANKER
        }
        private = filter(_is_picklable, (self.__pydantic_private__ or {}).items())
        return _rebuilt, (type(self), own, self.reranker, dict(private))


class RankingOptions(ScoringOptions):
    """The options of an adapter that ranks: which part of the ranking, and what if it fails."""

    top_n: Numeric[int | None] = Field(default=3, ge=1)
    """How many items are returned; None for all."""
    min_score: Numeric[float | None] = Field(default=None, ge=0, le=1)
    """Items of a lower probability are dropped, before `top_n` counts."""
    on_error: Literal["raise", "keep_order"] = "raise"
    """`keep_order` answers a failure with the first stage's order, marked, logged and reported."""

    def _rank(self, query: str, texts: Sequence[str]) -> Outcome:
        """Rank texts for a query; blank ones are not scored and come last."""
        try:
            return self._wanted(self._scoring.rank(query, texts, **self._arguments()))
        except Exception as error:
            if self.on_error == "raise":
                raise
            return self._kept(error, len(texts))

    async def _arank(self, query: str, texts: Sequence[str]) -> Outcome:
        """`_rank` for event loops."""
        try:
            return self._wanted(await self._scoring.arank(query, texts, **self._arguments()))
        except Exception as error:
            if self.on_error == "raise":
                raise
            return self._kept(error, len(texts))

    def _arguments(self) -> dict[str, Any]:
        return {"instruction": self.instruction, "progress": self.progress}

    def _wanted(self, ranking: list[RankedDocument]) -> Outcome:
        """Keep what is wanted of a ranking of all items; the log counts those that are not, too."""
        warn_of_truncation(ranking)
        kept = Cutoff(self.top_n, self.min_score).kept(ranking)
        return Outcome([Place(ranked.index, ranked) for ranked in kept])

    def _kept(self, error: Exception, items: int) -> Outcome:
        """Keep the first stage's order after a failure."""
        log.warning(
            "reranking failed, and the first stage's order is kept: %s: %s",
            type(error).__name__,
            error,
            exc_info=not isinstance(error, ZeloError),
        )
        return Outcome([Place(i, None) for i in range(items)[: self.top_n]], error)


def _with_reranker(options: dict[str, Any]) -> dict[str, Any]:
    """Make the reranker that the options ask for, or add what a given one says of itself."""
    own = OF_RERANKER & ScoringOptions.model_fields.keys()
    chosen = {name: options[name] for name in options if name in own}
    if isinstance(key := chosen.get("api_key"), SecretStr):
        chosen["api_key"] = key.get_secret_value()
    reranker = options.get("reranker")
    if reranker is None:
        reranker = Reranker(**chosen)
    elif chosen:
        message = f"reranker= brings its own model and settings; leave out {', '.join(chosen)}"
        raise InputError(message)
    if not isinstance(reranker, Reranker):
        return options  # pydantic will say so
    settings = {k: v for k, v in reranker.settings.items() if k in ScoringOptions.model_fields}
    return options | settings | {"reranker": reranker}


def _rebuilt(
    kind: type[Adapter], own: dict[str, Any], reranker: Reranker, private: dict[str, Any]
) -> Adapter:
    adapter = kind.__new__(kind)
    ScoringOptions.__init__(adapter, **own, reranker=reranker)
    for name, value in private.items():
        setattr(adapter, name, value)
    return adapter


def _is_picklable(attribute: tuple[str, Any]) -> bool:
    name, value = attribute
    try:
        pickle.dumps(value)
    except Exception as error:
        log.warning("%s is left out of a pickle: %s", name, type(error).__name__)
        return False
    return True


def _not_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"{value} is no number")
    return value


def _key_from_environment() -> SecretStr | None:
    key = os.environ.get("ZELO_API_KEY")
    return SecretStr(key) if key else None
