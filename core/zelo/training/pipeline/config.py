"""Reading a run's configuration: one TOML file, paths relative to it, and errors that name the key.

Knows files and messages; what may stand in the tables is told by `tables`.
"""

import difflib
import os
import pathlib
import tomllib
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from zelo.errors import InputError
from zelo.scoring.catalog import ALIASES
from zelo.training.judges.specs import CHAT, KINDS, parse_spec
from zelo.training.pipeline.tables import GATHERED, LEARNING, Config, table_of

__all__ = ["read_config"]

AnyPath = str | os.PathLike[str]

RUN = "run:"  # before the path of a first stage's run


def read_config(path: AnyPath, *, out: AnyPath | None = None) -> Config:
    """Read a configuration; in what is returned every path is absolute.

    A model, an embedding model or a judge that is the name of a folder beside the file means that
    folder. `out` takes the place of the file's own, relative to the current folder.

    Raises:
        InputError: there is no such file, it is no TOML, or it says something that has no meaning;
            all such places are named, and for an unknown key the nearest known one.
    """
    file = pathlib.Path(path)
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is no TOML: {error}") from error
    base = file.resolve().parent
    work = table.get("out", f"{file.stem}-run") if out is None else str(pathlib.Path(out).resolve())
    try:
        config = Config.model_validate({**table, "out": work})
    except ValidationError as error:
        problems = [f"  {problem}" for problem in _problems(error)]
    else:
        return _located(config, base)
    message = "\n".join([f"{file}: these have no meaning:", *problems])
    raise InputError(message)


def _problems(error: ValidationError) -> Iterator[str]:
    for found in error.errors(include_url=False):
        *tables, last = (part for part in found["loc"] if part != GATHERED)
        place = _place([*tables, last])
        if found["type"] == "extra_forbidden":
            yield f"{place}: there is no such key; {_nearest(str(last), _keys(tables))}"
        elif found["type"] == "missing":
            yield f"{place} is missing"
        elif found["type"] == "model_type":
            yield f"{place}: it must be a table"
        else:
            given = found["input"]
            told = f" = {given}" if isinstance(given, int | float) else ""  # no text: a URL may be
            reason = found["msg"].removeprefix("Value error, ").replace("Input should", "it must")
            yield f"{place}{told}: {reason}"


def _place(parts: Sequence[str | int]) -> str:
    """Write where a key stands: `evaluate.collections[1].path`, numbered from 1."""
    text = ""
    for part in parts:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _nearest(key: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"


def _keys(tables: Sequence[str | int]) -> list[str]:
    """What may stand in a table."""
    kind: type[BaseModel] = Config
    for part in tables:
        if isinstance(part, str):
            kind = table_of(kind.model_fields[part].annotation) or kind
    keys = list(kind.model_fields)
    if "learning" in keys:
        keys.remove("learning")
        keys += LEARNING
    return keys


def _located(config: Config, base: pathlib.Path) -> Config:
    """Make every path absolute."""

    def at(path: str) -> str:
        return str(base / pathlib.Path(path).expanduser())

    candidates, evaluate, distill = config.candidates, config.evaluate, config.distill
    further = evaluate.collections
    changes: dict[str, Any] = {
        "out": at(config.out),
        "model": _model(config.model, base),
        "judges": [_judge(text, base) for text in config.judges],
        "collections": [_with(one, path=at(one.path)) for one in config.collections],
        "candidates": _with(
            candidates,
            first_stage=_stage(candidates.first_stage, at),
            embedding_model=candidates.embedding_model and _model(candidates.embedding_model, base),
        ),
        "evaluate": _with(
            evaluate,
            first_stage=evaluate.first_stage and _stage(evaluate.first_stage, at),
            collections=further and [_with(one, path=at(one.path)) for one in further],
        ),
        "distill": distill and _with(distill, model=distill.model and _model(distill.model, base)),
    }
    return config.model_copy(update=changes)


def _with(table: Any, **changes: Any) -> Any:
    return table.model_copy(update=changes)


def _model(name: str, base: pathlib.Path) -> str:
    folder = base / pathlib.Path(name).expanduser()
    return str(folder) if name not in ALIASES and folder.is_dir() else name


def _stage(word: str, at: Any) -> str:
    return RUN + at(word.removeprefix(RUN)) if word.startswith(RUN) else word


def _judge(text: str, base: pathlib.Path) -> str:
    spec = parse_spec(text)
    kind = next((kind for kind in KINDS if spec.judge.startswith(kind)), "")
    model = spec.judge.removeprefix(kind)
    if kind == CHAT or "@" in model or model in ("oracle", "bm25"):
        return text
    found = _model(model, base)
    return text if found == model else f"{spec.name}={kind}{found}"
