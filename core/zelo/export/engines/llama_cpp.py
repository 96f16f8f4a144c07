"""llama.cpp: one GGUF file with head and prompt, for llama-server's `/v1/rerank`."""

from zelo.errors import MissingExtraError
from zelo.export.engines.engine import Engine, Request, Written

__all__ = ["LLAMA_CPP"]


def write(request: Request) -> Written:
    """Write a model for llama.cpp.

    Raises:
        MissingExtraError: the package gguf is not installed.
    """
    try:
        from zelo.export import llama_cpp
    except ModuleNotFoundError as error:
        raise MissingExtraError("writing GGUF files", "export") from error
    dtype = llama_cpp.gguf_type(request.dtype, request.source.tensors)
    name = f"{request.name}-{dtype}.gguf"
    llama_cpp.write_gguf(request.source, request.into / name, dtype, request.on_bytes)
    return llama_cpp.written(request, name, dtype)


LLAMA_CPP = Engine(
    "llama.cpp", "llama.cpp", "GGUF file with head and template for llama-server", write
)
