"""Systems as they are written on a command line: `[NAME=]FIRST_STAGE[+RERANKER]`.

First stages are `bm25`, `dense`, `hybrid`, `given` and `run:FILE`; rerankers `random`, `oracle`,
`listwise:MODEL@URL`, and otherwise what `zelo.Reranker` takes, as `MODEL` or `MODEL@URL`. Keys are
not written there: `Making.keys` names the variables of the environment that hold them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from zelo.errors import InputError
from zelo.evaluation.rerankers import Oracle, Pointwise, RandomOrder
from zelo.evaluation.systems import Reordering, System
from zelo.reranker import Reranker
from zelo.retrieval.stage import FirstStage
from zelo.transport.keys import keys_of

__all__ = ["Making", "Spec", "make_systems", "parse_spec"]

LISTWISE = "listwise:"
DENSE, HYBRID = "dense", "hybrid"
FIRST_STAGES = ("bm25", DENSE, HYBRID, "given")


class Spec(NamedTuple):
    """A system as it was asked for."""

    name: str
    first_stage: str
    reranker: str | None


@dataclass(frozen=True, slots=True)
class Making:
    """What the specs do not say, the same for all systems."""

    embedding_model: str | None = None
    embedding_url: str | None = None
    language: str | None = "english"
    rrf_k: int = 60
    instruction: str | None = None
    concurrency: int | None = None
    """Queries under way at once on a server."""
    seed: int = 0
    keys: Mapping[str, str] = field(default_factory=dict)
    """By reranker on a server, as tables call it, and by `dense` of the embedding model there: the
    variable of the environment that holds its key. Without one, those of `zelo.Reranker` and of
    `zelo.llm.Endpoint`."""
    reranker: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of every `zelo.Reranker`."""
    here: Mapping[str, Any] = field(default_factory=dict)
    """Those of rerankers that run in this process."""
    server: Mapping[str, Any] = field(default_factory=dict)
    """Those of rerankers on a server."""


def parse_spec(text: str) -> Spec:
    """Read one system.

    Raises:
        InputError: it has no such form; the message shows the forms.
    """
    name, equals, rest = text.partition("=")
    if not equals or any(mark in name for mark in "+:/@"):
        name, rest = "", text
    first, plus, reranker = rest.partition("+")
    known = first in FIRST_STAGES or (first.startswith("run:") and len(first) > 4)
    if not known or (plus and not reranker):
        message = (
            f"{text!r} is no system; write FIRST_STAGE or FIRST_STAGE+RERANKER, with a first stage "
            f"among {', '.join(FIRST_STAGES)} and run:FILE, such as bm25+zerank-2"
        )
        raise InputError(message)
    return Spec(name or _short(first, reranker), first, reranker or None)


def make_systems(specs: Sequence[Spec], making: Making) -> list[System]:
    """Make the systems; equal first stages and rerankers are made once and shared.

    Raises:
        InputError: a part lacks an option that it needs, an option is wrong, or a key is of
            nothing that is on a server or its variable is not set.
        MissingExtraError: a part needs a package that is not installed.
    """
    words = list(dict.fromkeys(spec.first_stage for spec in specs))
    names = _names([spec.reranker for spec in specs if spec.reranker is not None])
    on_servers = [name for word, name in names.items() if _on_server(word)]
    if making.embedding_url is not None and not {DENSE, HYBRID}.isdisjoint(words):
        on_servers.append(DENSE)
    keys = keys_of(making.keys, on_servers, "reranker or embedding model")
    stages = {word: _first_stage(word, making, keys.get(DENSE)) for word in words}
    rerankers = {
        word: _reranker(word, name, making, keys.get(name)) for word, name in names.items()
    }
    return [
        System(
            spec.name,
            stages[spec.first_stage],
            None if spec.reranker is None else rerankers[spec.reranker],
        )
        for spec in specs
    ]


def _names(rerankers: Sequence[str]) -> dict[str, str]:
    """Return what tables call each reranker, which must differ."""
    words = list(dict.fromkeys(rerankers))
    labels = [_label(word) for word in words]
    return {
        word: label if labels.count(label) == 1 else word
        for word, label in zip(words, labels, strict=True)
    }


def _on_server(reranker: str) -> bool:
    return "@" in reranker or reranker.startswith(LISTWISE)


def _first_stage(word: str, making: Making, key: str | None) -> FirstStage:
    from zelo.retrieval import BM25Stage, DenseStage, GivenStage, HybridStage, RunStage

    if word.startswith("run:"):
        return RunStage(word.removeprefix("run:"))
    if word == "given":
        return GivenStage()
    if word == "bm25":
        return BM25Stage(language=making.language)
    dense = DenseStage(_encoder(making, key))
    if word == DENSE:
        return dense
    return HybridStage([BM25Stage(language=making.language), dense], k=making.rrf_k)


def _encoder(making: Making, key: str | None) -> Any:
    from zelo.llm import Embeddings
    from zelo.retrieval import EndpointEncoder, LocalEncoder

    if making.embedding_model is None:
        message = (
            "dense and hybrid first stages need an embedding model: --embedding-model FOLDER, or "
            "a model's name with --embedding-url of an OpenAI-compatible server"
        )
        raise InputError(message)
    if making.embedding_url is not None:
        embeddings = Embeddings(making.embedding_model, base_url=making.embedding_url, api_key=key)
        return EndpointEncoder(embeddings)
    return LocalEncoder(making.embedding_model)


def _reranker(word: str, name: str, making: Making, key: str | None) -> Reordering:
    if word == "random":
        return RandomOrder(making.seed)
    if word == "oracle":
        return Oracle()
    model, _, url = word.partition("@")
    if model.startswith(LISTWISE):
        from zelo.evaluation.listwise import Listwise
        from zelo.llm import Chat

        chat = Chat(model.removeprefix(LISTWISE), base_url=url or None, api_key=key)
        return Listwise(chat, name, concurrency=making.concurrency or 4)
    of_place = {"base_url": url, "api_key": key, **making.server} if url else making.here
    return Pointwise(
        Reranker(model, **making.reranker, **of_place),
        name,
        instruction=making.instruction,
        concurrency=making.concurrency if url else None,
        owned=True,
    )


def _short(first: str, reranker: str) -> str:
    if first.startswith("run:"):
        first = Path(first.removeprefix("run:")).stem.replace("{collection}", "").strip(".-_")
        first = first or "run"
    return f"{first}+{_label(reranker)}" if reranker else first


def _label(word: str) -> str:
    """What tables call a reranker: a model's last name, and the server's host."""
    model, _, url = word.partition("@")
    prefix = LISTWISE if model.startswith(LISTWISE) else ""
    name = model.removeprefix(prefix).rstrip("/").rpartition("/")[2]
    host = urlsplit(url).netloc.rpartition("@")[2]
    return f"{prefix}{name}{'@' + host if host else ''}"
