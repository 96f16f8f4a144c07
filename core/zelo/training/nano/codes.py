"""Codes of words: directions of which no two are much alike, equal for words of equal form."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["CODE_DIMS", "form_codes"]

CODE_DIMS = 42
MOST_ALIKE = 0.5
"""Cosine of two codes. Of 8,000 drawn at random, a few pairs have 0.8."""


def form_codes(forms: Sequence[str], generator: torch.Generator) -> Tensor:
    """[vocabulary, 42]: one random code of norm sqrt(42) per normal form.

    Codes more alike than MOST_ALIKE are drawn again: at 0.8 one word would be found in place of
    the other. Tokens without a form (punctuation) get one each: with a code of 0 they would be,
    after the normalisation of keys, perfect partners in every word pair.
    """
    names = [form or f"#{token_id}" for token_id, form in enumerate(forms)]
    distinct = sorted(set(names))
    codes = torch.zeros(len(distinct), CODE_DIMS)
    for row in range(len(distinct)):
        code = _draw(generator)
        while row and float((codes[:row] @ code).max()) > MOST_ALIKE:
            code = _draw(generator)
        codes[row] = code
    place = {name: row for row, name in enumerate(distinct)}
    rows: Tensor = codes[[place[name] for name in names]] * math.sqrt(CODE_DIMS)
    return rows


def _draw(generator: torch.Generator) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(CODE_DIMS, generator=generator), dim=0)
