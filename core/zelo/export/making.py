"""From a model's name to a folder that an engine serves."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from zelo.errors import InputError, MissingExtraError
from zelo.export.export import Export, ExportedFile, OnBytes
from zelo.export.folders import whole_folder
from zelo.local.loading.files import EXPORT_RECORD

if TYPE_CHECKING:  # these import torch
    from zelo.export.engines import Engine, Request, Written
    from zelo.export.source import Source

__all__ = ["OnStage", "export"]

OnStage = Callable[[str], OnBytes]
"""Called with the name of a piece of long work as it begins; returns whom it reports to."""
README = "README.md"


def export(
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    engine: str,
    *,
    dtype: str | None = None,
    family: str | None = None,
    revision: str | None = None,
    local_files_only: bool = False,
    cache_dir: str | os.PathLike[str] | None = None,
    probes: bool = True,
    force: bool = False,
    on_stage: OnStage = lambda name: lambda done, total: None,
) -> Export:
    """Write a model for an engine that serves it with zelo's scores.

    Args:
        model: alias, hub id or folder; whatever `zelo.Reranker` takes.
        out: the folder to write. It appears when all of it is there.
        engine: vllm, sglang, baseten, sentence-transformers or llama.cpp.
        dtype: how weights are stored: bfloat16 or float32 (llama.cpp: f32, bf16 or q8_0); default,
            as they are.
        family: the model's family, where its folder does not tell.
        revision: a commit on the hub.
        local_files_only: never ask the network.
        cache_dir: the hub's cache.
        probes: compute the scores that a server must give, which `zelo doctor --known` reads. It
            takes one pass over the weights: seconds for small models, some minutes for 4B ones.
            Where there is room for the whole model in float32, sentence-transformers, or else
            transformers, reads the model's folder too, and has to find the same scores there.
        force: replace a folder that exists.
        on_stage: told of each piece of long work.

    Raises:
        ModelError: the model cannot be read, or the engine is known to serve it wrongly.
        InputError: an option has no meaning, or `out` exists.
        MissingExtraError: a package is not installed.
    """
    try:
        from zelo.export.engines import Request, engine_named
        from zelo.export.source import open_source
    except ModuleNotFoundError as error:
        raise MissingExtraError("exporting a model", "export") from error
    chosen = engine_named(engine)
    folder = Path(out).expanduser().resolve()
    source = open_source(
        os.fspath(model),
        family=family,
        revision=revision,
        local_files_only=local_files_only,
        cache_dir=cache_dir,
    )
    if folder in (source.folder.resolve(), source.checkpoint.files.folder.resolve()):
        raise InputError(f"{folder} holds the model itself; write the export somewhere else")
    with whole_folder(folder, force=force) as into:
        request = Request(source, into, folder, dtype, on_stage("writing weights"))
        written = chosen.write(request)
        if probes:
            written = _with_probes(request, written, on_stage("computing reference scores"))
        else:
            written = _without_probes(written)
        found = _described(chosen, source, request, written, probes)
        _document(found, into)
        return replace(found, files=_files(into))


def _with_probes(request: "Request", written: "Written", on_bytes: OnBytes) -> "Written":
    from zelo.export.probes import write_probes

    shown = write_probes(request.source, request.into, on_bytes)
    return replace(written, statements=(*written.statements, *shown))


def _without_probes(written: "Written") -> "Written":
    from zelo.export.probes import unwitnessed

    shown = unwitnessed("exporting with probes compares them")
    return replace(written, statements=(*written.statements, shown))


def _described(
    engine: "Engine", source: "Source", request: "Request", written: "Written", probes: bool
) -> Export:
    from zelo.export.checking import check_command, client_code

    return Export(
        engine=engine.name,
        model=source.name,
        family=source.family.name,
        folder=request.folder,
        files=_files(request.into),
        serving=written.serving,
        usage=written.usage,
        client=client_code(request, written),
        check=check_command(request, written, probes),
        statements=written.statements,
        notes=written.notes,
    )


def _document(found: Export, into: Path) -> None:
    """Write what the export is beside its files, for people and for programs."""
    from zelo.export.classifier import write_json
    from zelo.export.readme import readme

    (into / README).write_text(readme(found), encoding="utf-8")
    write_json(into / EXPORT_RECORD, found.as_json())


def _files(into: Path) -> tuple[ExportedFile, ...]:
    paths = sorted(path for path in into.rglob("*") if path.is_file())
    return tuple(
        ExportedFile(path.relative_to(into).as_posix(), path.stat().st_size) for path in paths
    )
