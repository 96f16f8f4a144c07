"""The engines that models are exported for, one small module each.

To add one: write a module with an `Engine`, and name it in `ENGINES`.
"""

from zelo.errors import InputError, UnsupportedModelError
from zelo.exporting.engines.baseten import BASETEN
from zelo.exporting.engines.engine import Engine, Request, Written
from zelo.exporting.engines.llama_cpp import LLAMA_CPP
from zelo.exporting.engines.refused import REFUSED
from zelo.exporting.engines.sentence_transformers import SENTENCE_TRANSFORMERS
from zelo.exporting.engines.sglang import SGLANG
from zelo.exporting.engines.vllm import VLLM

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
