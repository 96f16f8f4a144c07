"""Regional compilation: torch.compile of each decoder layer, in one graph for packs of all sizes.

Layers are alike and share their graphs: one for all but the last and one for that, in each of the
ragged ways. So there are `GRAPHS` for a model on a device, made when first needed, and few more if
sizes happen to be equal in the first pack, which are then taken for one. On an H200 that took 4 s
where the whole model in one graph took 75 s. Compiled code is kept on disk for the next process.
Knows nothing of packs.
"""

import logging
import os
from collections.abc import Callable
from typing import Any

import torch

from zelo._common.cache_folder import cache_folder

__all__ = ["GRAPHS", "compile_layers", "compiler_failure", "uncompile_layers"]

log = logging.getLogger("zelo")

GRAPHS = 4
"""Of a model on a device, for packs of any size. A pack of a single token would add two; no frame
leaves one."""
MOST_GRAPHS = 256
"""For one function; torch's own limit is 8. All models and cards of a process count together,
because a layer is the same function in each of them."""
CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


def compile_layers(backbone: Any, backend: str | Callable[..., Any] = "inductor") -> None:
    """Let every decoder layer be compiled when it first runs.

    Compiled code goes to `compiled` in zelo's cache folder, unless the environment's
    TORCHINDUCTOR_CACHE_DIR names another one. The attention that layers call must be ragged.
    """
    _choose_cache()
    dynamo: Any = torch._dynamo.config
    dynamo.recompile_limit = max(dynamo.recompile_limit, MOST_GRAPHS)
    for layer in backbone.layers:
        layer.compile(dynamic=True, fullgraph=True, backend=backend)


def uncompile_layers(backbone: Any) -> None:
    """Let every decoder layer run as it is again."""
    for layer in backbone.layers:
        layer._compiled_call_impl = None  # where Module.compile keeps it


def compiler_failure(error: Exception) -> str | None:
    """Say why torch.compile failed; None where the error is one of what it compiled."""
    from torch._dynamo import exc

    if not isinstance(error, exc.TorchDynamoException | exc.FailOnRecompileLimitHit):
        return None
    cause = getattr(error, "inner_exception", error)
    return f"{type(cause).__name__}: {str(cause).strip().partition(chr(10))[0]}"


def _choose_cache() -> None:
    """Name a folder that outlives a reboot; torch itself names one among temporary files."""
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    if os.environ.get(CACHE_VARIABLE, default_cache_dir()) != default_cache_dir():
        return
    folder = cache_folder() / "compiled"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # what lies in it is run
    except OSError as error:
        log.debug("compiled code is not kept: %s", error)
    else:
        os.environ[CACHE_VARIABLE] = str(folder)
