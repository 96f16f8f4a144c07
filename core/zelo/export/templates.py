"""A family's prompt as a Jinja template: for engines that render one, unasked and without a role.

Knows prompts and Jinja; knows no tokenizer and no engine.
"""

import json
from collections.abc import Mapping

from zelo.scoring.families import Family

__all__ = ["score_template"]

FIELDS = {"{query}": "query", "{document}": "document", "{instruction}": "wanted"}
"""A prompt's fields, and what the template calls them."""


def score_template(family: Family, names: Mapping[str, str]) -> str:
    """Return the family's prompt as a Jinja template for the roles `query` and `document`.

    It ends with the assistant header whatever it is asked for: engines render score templates
    without asking for one. An instruction may come as the variable `instruction`, which is how
    vLLM passes it on, or as a message of the role `system`, as sentence-transformers sends it.

    Args:
        family: whose prompt.
        names: what control tokens are called in the tokenizer, where not by their usual names.
    """
    prompt = family.prompt
    for token, name in names.items():
        prompt = prompt.replace(token, name)
    return _TEXTS + _instruction(family) + "{{- " + _joined(prompt) + " -}}\n"


_TEXTS = (
    '{%- set query = messages | selectattr("role", "equalto", "query") '
    '| map(attribute="content") | first -%}\n'
    '{%- set document = messages | selectattr("role", "equalto", "document") '
    '| map(attribute="content") | first -%}\n'
    '{%- set said = messages | selectattr("role", "equalto", "system") '
    '| map(attribute="content") | first | default("", true) -%}\n'
    # not set under its own name: vLLM passes on what a template reads and never sets
    "{%- set wanted = instruction if instruction is string else said -%}\n"
)


def _default(family: Family) -> str:
    default = _literal(family.default_instruction or "")
    return "{%- set wanted = wanted if wanted | trim else " + default + " -%}\n"


def _in_query(family: Family) -> str:
    text = _joined(family.instructed_query or "")
    return "{%- if wanted | trim -%}{%- set query = " + text + " -%}{%- endif -%}\n"


def _refused(family: Family) -> str:
    message = _literal(f"a model of family {family.name} takes no instruction")
    return "{%- if wanted | trim -%}{{- raise_exception(" + message + ") -}}{%- endif -%}\n"


def _instruction(family: Family) -> str:
    """Write what becomes of an instruction, and what it is where there is none."""
    default = _default(family) if family.default_instruction else ""
    if family.instructed_query is not None:
        return default + _in_query(family)
    return default if "{instruction}" in family.prompt else _refused(family)


def _joined(text: str) -> str:
    """Write a text with fields as a Jinja expression."""
    parts = [text]
    for name in FIELDS:
        parts = [piece for part in parts for piece in _split(part, name)]
    return " + ".join(FIELDS.get(part) or _literal(part) for part in parts if part)


def _split(text: str, name: str) -> list[str]:
    if text in FIELDS:
        return [text]
    before, found, after = text.partition(name)
    return [before, found, after] if found else [text]


def _literal(text: str) -> str:
    """Write a text as a Jinja string."""
    return json.dumps(text, ensure_ascii=False)
