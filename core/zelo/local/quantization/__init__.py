"""Decoder layers in fewer bits: the seven projections of each; nothing else of a model changes.

| name           | weights                   | activations       | runs on                         |
| -------------- | ------------------------- | ----------------- | ------------------------------- |
| `fp8`          | e4m3, a scale per output  | e4m3, by token    | NVIDIA from Ada on, CPU (slow)  |
| `int8`         | int8, a scale per output  | int8, by token    | NVIDIA from Ampere on, CPU      |
| `int8-weights` | int8, a scale per output  | the model's dtype | everything                      |
| `int4-weights` | 4 bits, in groups of 128  | the model's dtype | everything                      |

The first two multiply in eight bits, which fast cards do at twice their rate for bfloat16. The
weights-only ones save memory, not time: each use widens the weights again. Embeddings, norms and
the score row stay in the model's own number type. What a model loses by it is to be measured on
that model: `zelo bench fidelity`.
"""

from zelo.local.quantization.memory import weights_bytes
from zelo.local.quantization.replacing import quantize
from zelo.local.quantization.support import check_quantization

__all__ = ["check_quantization", "quantize", "weights_bytes"]
