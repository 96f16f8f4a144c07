"""A random Qwen3 in double precision, packs of many lengths, and a count of what is alive."""

import weakref
from itertools import accumulate
from typing import Any

import torch
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import Qwen3Config, Qwen3Model

from zelo.local.packing import Part
from zelo.local.ragged import ROUNDING, Segments

VOCABULARY = 97
CPU = torch.device("cpu")
TOKENS = st.integers(0, VOCABULARY - 1)
PARTS = st.lists(
    st.builds(
        Part,
        st.lists(TOKENS, max_size=12),
        st.lists(st.lists(TOKENS, min_size=1, max_size=40), min_size=1, max_size=6),
    ),
    min_size=1,
    max_size=4,
)
ROW = torch.linspace(-1, 1, 32)


def qwen(
    implementation: str,
    dtype: torch.dtype = torch.float64,
    layers: int = 3,
    intermediate_size: int = 48,
) -> Qwen3Model:
    """Return the model, with the same weights at every call; they are large enough to matter."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=intermediate_size,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=8_192,
        attn_implementation=implementation,
    )
    model = Qwen3Model(config).to(dtype).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8)
    return model


def part(prefix: int, *suffixes: int) -> Part:
    """Return a part with so many tokens in its prefix and its suffixes, all of them different."""
    ids = [[(7 * n + i * i) % VOCABULARY for i in range(n)] for n in (prefix, *suffixes)]
    return Part(ids[0], ids[1:])


def bounds(queries: list[int], keys: list[int], device: torch.device = CPU) -> Segments:
    """Return the bounds of segments with so many query rows and key rows."""
    sums = [[0, *accumulate(lengths)] for lengths in (queries, keys)]
    tensors = [torch.tensor(each, dtype=torch.int32, device=device) for each in sums]
    longest = [-(-max(lengths) // ROUNDING) * ROUNDING for lengths in (queries, keys)]
    return Segments(*tensors, *longest)


class Compiler:
    """Runs graphs as they are, and counts them."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: torch.fx.GraphModule, example: Any) -> Any:
        """Stand in for a backend of torch.compile."""
        self.graphs += 1
        return graph.forward


class Alive(TorchDispatchMode):
    """Counts the bytes of tensors made within it that are alive."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes: dict[int, int] = {}
        self.most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and note what it made."""
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                key = storage._cdata
                if key not in self.bytes:
                    self.bytes[key] = storage.nbytes()
                    weakref.finalize(storage, self.bytes.pop, key, None)
        self.most = max(self.most, sum(self.bytes.values()))
        return made
