"""Judges as they are written on a command line: `[NAME=]KIND`.

`oracle`, `bm25`, `chat:MODEL@URL`, `embedding:MODEL` or `embedding:MODEL@URL`, `pairwise:FOLDER`,
and otherwise what `zelo.Reranker` takes, as `MODEL` or `MODEL@URL`. A key is never written there:
`Making.keys` names the variable of the environment that holds it, and no message repeats it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from zelo.errors import InputError
from zelo.reranker import Reranker
from zelo.training.judges.chat import ChatJudge
from zelo.training.judges.judge import Judge, PointwiseJudge
from zelo.training.judges.oracle import OracleJudge
from zelo.training.judges.reranker import RerankerJudge
from zelo.training.lookup import CandidateFile
from zelo.transport.keys import keys_of

__all__ = ["Making", "Spec", "make_judges", "parse_spec"]

KINDS = CHAT, EMBEDDING, PAIRWISE = "chat:", "embedding:", "pairwise:"


class Spec(NamedTuple):
    """A judge as it was asked for."""

    name: str
    judge: str


@dataclass(frozen=True, slots=True)
class Making:
    """What the specs do not say, the same for all judges."""

    candidates: CandidateFile
    """The documents among which BM25 counts how rare a word is."""
    noise: float = 0.0
    """Of the oracle, as are the next two."""
    ties: float = 0.0
    seed: int = 0
    language: str | None = "english"
    """Of BM25's stemmer."""
    concurrency: int = 8
    """Questions under way at once on each server."""
    scales: Mapping[str, float] = field(default_factory=dict)
    """Of judges that score, by name; the others have their own."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Of judges on servers, by name: the variable of the environment that holds the key."""
    reranker: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of every `zelo.Reranker` that runs in this process; a pairwise model
    takes `device` and `dtype` of them."""


def parse_spec(text: str) -> Spec:
    """Read one judge.

    Raises:
        InputError: it has no such form; the message shows the forms.
    """
    name, equals, rest = text.partition("=")
    if not equals or any(mark in name for mark in ":/@"):
        name, rest = "", text
    model, at, url = rest.partition("@")
    if model in ("", *KINDS) or (at and not url):
        message = (
            f"{text!r} is no judge; write oracle, bm25, chat:MODEL@URL, embedding:MODEL, "
            "pairwise:FOLDER, or a reranker as MODEL or MODEL@URL, such as zelo-nano"
        )
        raise InputError(message)
    return Spec(name or _label(model, url), rest)


def make_judges(specs: Sequence[Spec], making: Making) -> list[Judge]:
    """Make the judges.

    Raises:
        InputError: two have one name, a scale is of none that scores, a key is of none on a server
            or its variable is not set, OpenAI is to be asked without one, or an option is wrong.
        MissingExtraError: a judge needs a package that is not installed.
    """
    names = [spec.name for spec in specs]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two judges are named {name!r}; write NAME=JUDGE to name one anew")
    on_servers = [spec.name for spec in specs if _on_server(spec)]
    keys = keys_of(making.keys, on_servers, "judge")
    judges = [_judge(spec, making, keys.get(spec.name)) for spec in specs]
    scoring = {judge.name: judge for judge in judges if isinstance(judge, PointwiseJudge)}
    for name, scale in making.scales.items():
        if name not in scoring:
            known = ", ".join(scoring) or "none here"
            message = f"there is a scale of {name!r}, but no such judge that scores; these are: "
            raise InputError(message + known)
        scoring[name].rescale(scale)
    return judges


def _on_server(spec: Spec) -> bool:
    model, _, url = spec.judge.partition("@")
    return model.startswith(CHAT) or (bool(url) and not model.startswith(PAIRWISE))


def _judge(spec: Spec, making: Making, key: str | None) -> Judge:
    model, _, url = spec.judge.partition("@")
    if spec.judge == "oracle":
        return OracleJudge(spec.name, noise=making.noise, ties=making.ties, seed=making.seed)
    if spec.judge == "bm25":
        from zelo.training.judges.bm25 import BM25Judge  # brings bm25s

        return BM25Judge(making.candidates.texts(), language=making.language, name=spec.name)
    if model.startswith(CHAT):
        from zelo.llm import Chat

        chat = Chat(model.removeprefix(CHAT), base_url=url or None, api_key=key)
        return ChatJudge(chat, spec.name, concurrency=making.concurrency)
    if model.startswith(EMBEDDING):
        return _embedding(spec.name, model.removeprefix(EMBEDDING), url, key)
    if model.startswith(PAIRWISE):
        from zelo.training.judges.pairwise import PairwiseModelJudge  # brings torch

        folder = spec.judge.removeprefix(PAIRWISE)  # an @ belongs to it
        options = {name: making.reranker.get(name) for name in ("device", "dtype")}
        return PairwiseModelJudge(folder, spec.name, **options)
    if url:
        reranker = Reranker(model, base_url=url, api_key=key)
        return RerankerJudge(reranker, spec.name, concurrency=making.concurrency)
    return RerankerJudge(Reranker(model, **making.reranker), spec.name)


def _embedding(name: str, model: str, url: str, key: str | None) -> Judge:
    from zelo.llm import Embeddings  # these bring numpy
    from zelo.retrieval import EndpointEncoder, LocalEncoder
    from zelo.training.judges.embedding import EmbeddingJudge

    if not url:
        return EmbeddingJudge(LocalEncoder(model), name)
    embeddings = Embeddings(model, base_url=url, api_key=key)
    return EmbeddingJudge(EndpointEncoder(embeddings), name, tokens=lambda: embeddings.input_tokens)


def _label(model: str, url: str) -> str:
    """What tables call a judge: its kind, a model's last name, and the server's host."""
    kind, colon, rest = model.rpartition(":") if model.startswith(KINDS) else ("",) * 3
    short = (rest or model).rstrip("/").rpartition("/")[2]
    host = urlsplit(url).netloc.rpartition("@")[2]
    return f"{kind}{colon}{short}{'@' + host if host else ''}"
