"""Every key of a configuration with its default, as a TOML file with comments."""

import json
import textwrap
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from zelo.training.learning.settings import Learning
from zelo.training.pipeline.tables import LEARNING, Config, Evaluated, Source, table_of

__all__ = ["reference"]

WIDTH = 78  # of comments, without their mark
REQUIRED = {
    "collections": '["scifact/", { path = "cosqa/", split = "dev", queries = 500 }]',
    "model": '"zelo-nano"',
    "judges": '["bm25", "embedding:all-MiniLM-L6-v2/", "mini=chat:gpt-4.1-mini"]',
}
"""Examples of what has no default."""


def reference() -> str:
    """Return a configuration that says all that may be said; what is commented out has no value."""
    return "\n".join(_lines()).strip() + "\n"


def _lines() -> Iterator[str]:
    tables: dict[str, type[BaseModel]] = {}
    for name, field in Config.model_fields.items():
        table = table_of(field.annotation)
        if table is not None and table not in (Source, Evaluated):
            tables[name] = table
        else:
            yield from _key(name, field)
    yield from _comment(Source.__doc__ or "")
    for name, field in Source.model_fields.items():
        yield from _comment(f"{name}: {field.description}", indent="  ")
    for name, table in tables.items():
        yield ""
        yield from _comment(table.__doc__ or "")
        yield f"[{name}]" if name != "distill" else f"# [{name}]  # makes the stage"
        for key, field in table.model_fields.items():
            if key != "learning":
                yield from _key(key, field, out=name == "distill")
        if "learning" in table.model_fields:
            yield from _comment(f"See zelo train {name} --help. The seed is that of the top.")
            for key in LEARNING:
                default = None if key == "seed" else getattr(Learning(), key)
                yield from _line(key, default, out=name == "distill")


def _key(name: str, field: FieldInfo, *, out: bool = False) -> Iterator[str]:
    """Yield a key's comment and its line; `out` has it commented out."""
    yield from _comment(field.description or "")
    if name in REQUIRED and field.is_required():
        yield f"{name} = {REQUIRED[name]}"
    else:
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        yield from _line(name, default, out=out)


def _line(name: str, value: Any, *, out: bool) -> Iterator[str]:
    written = _written(value)
    yield f"{'# ' if out or written is None else ''}{name} = {written or ''}".rstrip()


def _written(value: Any) -> str | None:
    """Write a default as TOML; None where there is none, which TOML cannot say."""
    if isinstance(value, dict):
        return "{}" if not value else None
    return None if value is None else json.dumps(value, ensure_ascii=False)


def _comment(text: str, indent: str = "") -> Iterator[str]:
    inside = indent and f"{indent}  "
    for line in textwrap.wrap(
        " ".join(text.split()), WIDTH, initial_indent=indent, subsequent_indent=inside
    ):
        yield f"# {line}"
