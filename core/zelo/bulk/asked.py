"""What is asked for: names of files and models as they were given, made into what they mean.

Everything that can be wrong with a call is found here, before anything is written or loaded.
"""

import inspect
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zelo._common.checks import in_order, path_text
from zelo.bulk.formats import SUFFIXES, Form, form_named, kind_of
from zelo.bulk.identity import identity_of_model, listed_files, options_that_count
from zelo.bulk.layout import Layout, Wishes
from zelo.bulk.sources import Source, file_sources
from zelo.bulk.storage import is_local, local_path, without_key
from zelo.errors import InputError
from zelo.reranker import Reranker
from zelo.scoring.catalog import ALIASES, server_of_environment

__all__ = ["AnyPath", "Asked", "refuse_changed"]

AnyPath = str | os.PathLike[str]
NOT_PLAIN = {"fallback", "http_client", "async_http_client"}
"""Arguments of a reranker that are objects, not values."""


@dataclass(frozen=True, slots=True, repr=False)
class Asked:
    """What is to be scored, with what, and where to."""

    output: str
    """The folder's address, the same from wherever it is looked at."""
    sources: list[Source]
    kind: str
    """The format's name, see `zelo.bulk.formats`."""
    form: Form
    layout: Layout
    collection: str | None
    model: str
    options: dict[str, Any]
    """Arguments of the reranker, such that every process makes the same one of them. May hold a
    key."""
    work: dict[str, Any]
    """All that the results depend on, as JSON holds it."""

    @classmethod
    def of(
        cls,
        inputs: AnyPath | Sequence[AnyPath],
        output: AnyPath,
        model: str,
        options: Mapping[str, Any],
        collection: AnyPath | None,
        wishes: Wishes,
        settings: Mapping[str, Any],
    ) -> "Asked":
        """Find files, columns and weights.

        Raises:
            InputError: they cannot be found or used.
            ModelError: there is no such model.
        """
        for name in NOT_PLAIN & options.keys():
            message = f"reranker={name!r}: it cannot go to other processes; leave it out"
            raise InputError(message)
        for name in options.keys() - inspect.signature(Reranker).parameters.keys():
            raise InputError(f"reranker={name!r}: a Reranker has no such option; leave it out")
        with Reranker(model, **options) as reranker:  # refuses what has no meaning; loads nothing
            plain = reranker.settings
        options = {name: plain.get(name, value) for name, value in options.items()}
        place = _place("output", output)
        sources = _sources(inputs, place)
        form = form_named(kind := kind_of(sources))
        layout = form.layout(sources[0], wishes)
        folder = None if collection is None else _place("collection", collection)
        weights = identity_of_model(model, options)
        work = {
            "input": listed_files(sources),
            "collection": _collection_files(folder),
            "model": weights,
            "settings": {**options_that_count(options), **layout.plain(), **settings},
        }
        told = {"revision": weights.get("revision"), "base_url": server_of_environment(model)}
        made = dict(options) | {name: value for name, value in told.items() if value is not None}
        return cls(place, sources, kind, form, layout, folder, _model(model), made, work)


def refuse_changed(sources: Sequence[Source]) -> None:
    """Refuse files that are not what they were when the work was planned.

    Raises:
        InputError: one has changed or is gone.
    """
    for source in sources:
        if source not in file_sources(source.url, SUFFIXES):
            message = (
                f"{source.name} has changed while it was scored, so what was written may be of "
                "either; begin anew with --restart"
            )
            raise InputError(message)


def _sources(inputs: AnyPath | Sequence[AnyPath], place: str) -> list[Source]:
    """Return the files of the input, each once, in the order in which they were named."""
    several: Sequence[AnyPath] = [inputs] if isinstance(inputs, str | os.PathLike) else inputs
    patterns = list(in_order("inputs", several, "a name, or a list of names"))
    if not patterns:
        raise InputError("there is no input; name a file, a folder or a pattern")
    names = [path_text("inputs", pattern) for pattern in patterns]
    found = {source.url: source for name in names for source in file_sources(name, SUFFIXES)}
    for source in found.values():
        if source.url.startswith(f"{place}/"):
            raise InputError(f"{source.name} lies in the output folder; name another folder")
    return list(found.values())


def _place(name: str, folder: AnyPath) -> str:
    place = path_text(name, folder)
    return str(local_path(place)) if is_local(place) else place.rstrip("/")


def _collection_files(folder: str | None) -> list[list[Any]]:
    if folder is None:
        return []
    if not is_local(folder):
        message = f"{without_key(folder)}: a collection is read from a folder of this machine"
        raise InputError(message)
    paths = [Path(folder) / name for name in ("corpus.jsonl", "queries.jsonl")]
    return listed_files([one for path in paths for one in file_sources(str(path), (".jsonl",))])


def _model(model: str) -> str:
    """Return a model's name such that processes in other folders find it too."""
    is_folder = model not in ALIASES and os.path.isdir(os.path.expanduser(model))
    return str(local_path(model)) if is_folder else model
