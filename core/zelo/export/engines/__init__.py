"""The engines that models are exported for, one small module each.

To add one: write a module with an `Engine`, and name it in `ENGINES`.
"""

from zelo.errors import InputError, UnsupportedModelError
from zelo.export.engines.baseten import BASETEN
from zelo.export.engines.engine import Engine, Request, Written
from zelo.export.engines.llama_cpp import LLAMA_CPP
from zelo.export.engines.refused import REFUSED
from zelo.export.engines.sentence_transformers import SENTENCE_TRANSFORMERS
from zelo.export.engines.sglang import SGLANG
from zelo.export.engines.vllm import VLLM

__all__ = ["ENGINES", "Engine", "Request", "Written", "engine_named"]

ENGINES = {
    engine.name: engine for engine in (VLLM, SGLANG, BASETEN, SENTENCE_TRANSFORMERS, LLAMA_CPP)
}
"""The engines by name."""


def engine_named(name: str) -> Engine:
    """Return an engine by name.

    Raises:
        UnsupportedModelError: the engine is known to serve these models wrongly.
        InputError: nobody knows it.
    """
    if name in REFUSED:
        raise UnsupportedModelError(f"nothing was exported for {name}: {REFUSED[name]}")
    if name not in ENGINES:
        raise InputError(f"unknown engine {name!r}; engines are {', '.join(ENGINES)}")
    return ENGINES[name]
