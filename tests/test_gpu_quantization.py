"""Quantised layers on a CUDA device: the kernels themselves, which a CPU cannot stand in for."""

from pathlib import Path
from typing import get_args

import pytest
import torch

from zelo import Reranker
from zelo.errors import InputError
from zelo.local.loading.checkpoint import inspect_checkpoint
from zelo.local.model import load_backbone
from zelo.local.quantization import check_quantization
from zelo.local.quantization.methods import METHODS
from zelo.local.quantization.support import NEEDS
from zelo.scoring.options import Quantization

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

NAMES: tuple[Quantization, ...] = get_args(Quantization)
CARD = torch.device("cuda")


def runs_here(name: Quantization) -> bool:
    """Whether this card is new enough, by the table."""
    return name not in NEEDS or torch.cuda.get_device_capability() >= NEEDS[name].capability


def linear(width: int, out: int) -> torch.nn.Linear:
    """A random projection in bfloat16 on the CPU."""
    generator = torch.Generator().manual_seed(0)
    made = torch.nn.Linear(width, out, bias=False, dtype=torch.bfloat16).requires_grad_(False)
    made.weight.copy_(torch.randn(out, width, generator=generator) / width**0.5)
    return made


def rows(count: int, width: int) -> torch.Tensor:
    """Random activations in bfloat16 on the CPU."""
    return torch.randn(count, width, generator=torch.Generator().manual_seed(1)).bfloat16()


@pytest.mark.parametrize("name", NAMES)
def test_the_table_of_cards_is_right_here(name: Quantization) -> None:
    """What the table promises of this card runs, and what it refuses is refused."""
    if runs_here(name):
        check_quantization(name, CARD, torch.bfloat16)
    else:
        with pytest.raises(InputError, match="it needs an NVIDIA card"):
            check_quantization(name, CARD, torch.bfloat16)


@pytest.mark.parametrize("count", [1, 2, 16, 17, 40, 999])
@pytest.mark.parametrize(("width", "out"), [(2560, 1024), (4096, 2560), (2560, 9728), (128, 16)])
@pytest.mark.parametrize("name", NAMES)
def test_a_card_computes_what_a_cpu_does(
    name: Quantization, width: int, out: int, count: int
) -> None:
    """The shapes of zerank-2 and zelo-nano, any number of rows: equal but for bfloat16's rounding.

    Fast accumulation on Hopper keeps fewer bits of a sum than float32, hence not closer.
    """
    if not runs_here(name):
        pytest.skip("this card is older than the kernel")
    layer, x = METHODS[name](linear(width, out)), rows(count, width)
    with torch.inference_mode():
        wanted = layer(x).float()
        found = layer.to(CARD)(x.to(CARD)).cpu().float()
    assert (found - wanted).norm() < 0.01 * wanted.norm()


@pytest.mark.parametrize("name", NAMES)
def test_rows_may_lie_in_any_order(name: Quantization) -> None:
    """A transposed view gives what its copy gives, though the kernels read row after row."""
    if not runs_here(name):
        pytest.skip("this card is older than the kernel")
    layer, view = METHODS[name](linear(256, 64)).to(CARD), rows(256, 40).to(CARD).t()
    with torch.inference_mode():
        assert torch.equal(layer(view), layer(view.clone(memory_format=torch.contiguous_format)))


@pytest.mark.parametrize("name", NAMES)
def test_no_rows_on_a_card(name: Quantization) -> None:
    """Nothing in, nothing out."""
    if not runs_here(name):
        pytest.skip("this card is older than the kernel")
    layer = METHODS[name](linear(64, 32)).to(CARD)
    assert layer(torch.zeros(1, 0, 64, dtype=torch.bfloat16, device=CARD)).shape == (1, 0, 32)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_finite_stays_so_on_a_card(name: Quantization) -> None:
    """A spoilt row has no finite result there either, and spoils no other."""
    if not runs_here(name):
        pytest.skip("this card is older than the kernel")
    layer, x = METHODS[name](linear(256, 64)).to(CARD), rows(20, 256).to(CARD)
    x[5, 40], x[6, 3] = float("nan"), float("inf")
    with torch.inference_mode():
        finite = layer(x).isfinite().all(1).tolist()
    assert finite == [row not in (5, 6) for row in range(20)]


@pytest.mark.parametrize("name", NAMES)
def test_a_compiled_layer_on_a_card(name: Quantization) -> None:
    """Compiled by the real compiler for any length, it gives what it gives uncompiled."""
    if not runs_here(name):
        pytest.skip("this card is older than the kernel")
    torch._dynamo.reset()
    layer = METHODS[name](linear(256, 128)).to(CARD)
    compiled = torch.compile(layer, dynamic=True, fullgraph=True)
    with torch.inference_mode():
        for count in (40, 333, 7):
            x = rows(count, 256).to(CARD)[None]
            wanted = layer(x).float()
            # a scale may round otherwise where it is fused, and move a code by one
            assert (compiled(x).float() - wanted).norm() < 0.02 * wanted.norm()


def test_a_card_never_holds_the_unquantised_model(tiny_model: Path) -> None:
    """Projections come over one at a time, so the peak is what stays and one of them."""
    files = inspect_checkpoint(tiny_model).files
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    backbone = load_backbone(files, CARD, torch.float32, "int4-weights")
    held = sum(tensor.nbytes for tensor in backbone.state_dict().values())
    rounded_up = 512 * len(backbone.state_dict())  # the allocator's blocks
    config = backbone.config
    largest = config.hidden_size * max(config.intermediate_size, config.vocab_size) * 4
    conversion = 8 * largest  # float32 copies
    assert torch.cuda.max_memory_allocated() - before < held + rounded_up + conversion


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_model_scores_on_a_card(tiny_model: Path, name: Quantization) -> None:
    """A quantised model gives there, compiled, the scores that it gives on the CPU."""
    if not runs_here(name):
        pytest.skip("this card is older than the kernel")
    documents = ["The river runs to the sea.", "Open a file with open().", "Three old bridges."]
    scores = []
    for device in ("cpu", "cuda"):
        with Reranker(tiny_model, dtype="bfloat16", device=device, quantization=name) as reranker:
            scores.append(reranker.score("how to read a file", documents, scale="logit"))
    assert scores[1] == pytest.approx(scores[0], abs=0.5)
