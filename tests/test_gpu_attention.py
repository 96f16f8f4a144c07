"""The ragged kernel, the ways of attention and compiled layers on a real card.

Everything but the kernel itself is also tested without one: test_attention.py, test_compiling.py.
"""

import itertools
import math

import pytest
import torch
from packing_kit import CPU, ROW, Compiler, bounds, part, qwen

from zelo.local.attention import NAME, kernel
from zelo.local.compiling import CACHE_VARIABLE, GRAPHS, compile_layers
from zelo.local.model import ScoringModel
from zelo.local.packing import build_pack

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
CUDA = torch.device("cuda")
WAYS = ["gathered", "merged"]
PACKS = [
    [part(37, 5, 6, 4, 7, 9), part(23, 5, 6)],
    [part(9, 11)],
    [part(7, 5, 3)],
    [part(300, 5, 140), part(3, 9)],
    [part(1, 1, 1)],
    [part(0, 11, 4)],
    [part(40, *[3] * 60)],
    [part(700, *range(1, 200, 7))],
]


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """Compiled code is made anew, and kept away from the user's."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def model(dtype=torch.bfloat16, **options):
    return ScoringModel(qwen(NAME, dtype).to(CUDA), ROW, **options)


def random_heads(rows, heads, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, heads, 64, generator=generator, dtype=torch.float32)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(
    ("queries", "keys"),
    [([2, 1, 3], [4, 2, 3]), ([130, 1, 7], [300, 129, 7]), ([1], [1]), ([1], [500])],
)
def test_kernel_keeps_its_contract(queries, keys, causal):
    """Aligned at the end where causal, grouped heads, natural log-sum-exps as (H, Q): what the
    exact operator gives, to the rounding of bfloat16."""
    tensors = [
        random_heads(sum(rows), heads, seed).bfloat16()
        for seed, (rows, heads) in enumerate([(queries, 4), (keys, 2), (keys, 2)])
    ]
    expected = kernel.attend(*tensors, bounds(queries, keys), 0.125, causal=causal)
    on_card = bounds(queries, keys, CUDA)
    out, lse = kernel.attend(*(t.to(CUDA) for t in tensors), on_card, 0.125, causal=causal)
    torch.testing.assert_close(out.cpu().float(), expected[0].float(), rtol=0.02, atol=0.02)
    assert (lse.shape, lse.dtype) == ((4, sum(queries)), torch.float32)
    torch.testing.assert_close(lse.cpu(), expected[1], rtol=1e-3, atol=1e-3)


def test_kernel_is_causal_from_the_end():
    """With fewer queries than keys the last query sees every key: products are equal, so each
    log-sum-exp is the logarithm of how many keys were seen."""
    query, key = torch.zeros(6, 2, 64), torch.zeros(9, 1, 64)
    tensors = [tensor.to(CUDA, torch.bfloat16) for tensor in (query, key, key)]
    _, lse = kernel.attend(*tensors, bounds([2, 1, 3], [4, 2, 3], CUDA), 1.0, causal=True)
    expected = torch.tensor([3, 4, 2, 1, 2, 3]).log().expand(2, 6)
    torch.testing.assert_close(lse.cpu(), expected)


@pytest.mark.parametrize("parts", PACKS)
def test_ways_agree_within_rounding(parts):
    """Gathered, merged and segment by segment differ by bfloat16's rounding, a tenth of the
    spread that float32 has; and so does the choice that is made unasked."""
    scores = model(torch.float32).logits(build_pack(PACKS[0], CUDA))
    spread = max(scores) - min(scores)
    exact = pytest.approx(model(torch.float32).logits(build_pack(parts, CUDA)), abs=spread / 10)
    fast = model()
    for way in [*WAYS, None]:
        assert fast.logits(build_pack(parts, CUDA, way)) == exact


def test_float32_is_as_on_the_cpu():
    """In float32, where there is no ragged kernel, a card gives the CPU's scores."""
    on_cpu = ScoringModel(qwen(NAME, torch.float32), ROW)
    for parts in PACKS:
        expected = on_cpu.logits(build_pack(parts, CPU))
        assert model(torch.float32).logits(build_pack(parts, CUDA)) == pytest.approx(
            expected, rel=1e-3, abs=1e-3
        )


def test_a_score_does_not_depend_on_what_is_beside_it():
    """Attention takes no more splits because others are longer: its rows are bit for bit the same
    in another company."""
    queries, keys = [5, 2_000], [3_000, 2_000]
    tensors = [
        random_heads(sum(rows), heads, seed).to(CUDA, torch.bfloat16)
        for seed, (rows, heads) in enumerate([(queries, 4), (keys, 2), (keys, 2)])
    ]
    together, _ = kernel.attend(*tensors, bounds(queries, keys, CUDA), 0.125, causal=True)
    alone, _ = kernel.attend(
        *(t[:n] for t, n in zip(tensors, (5, 3_000, 3_000), strict=True)),
        bounds(queries[:1], keys[:1], CUDA),
        0.125,
        causal=True,
    )
    assert torch.equal(together[:5], alone)


def test_graphs_do_not_grow(cache, monkeypatch):
    """Four graphs serve packs of all sizes on the card too."""
    compiler = Compiler()
    monkeypatch.setattr(
        "zelo.local.model.compile_layers", lambda backbone: compile_layers(backbone, compiler)
    )
    found = model(compile=True)
    for parts, way in itertools.product(PACKS, WAYS):
        found.logits(build_pack(parts, CUDA, way))
    assert found.compiled
    assert compiler.graphs == GRAPHS


def test_compiled_scores_are_those_without(cache):
    """torch.compile's own code gives the scores of layers as they are, within rounding."""
    plain, compiled = model(), model(compile=True)
    everything = [plain.logits(build_pack(parts, CUDA)) for parts in PACKS]
    spread = max(map(max, everything)) - min(map(min, everything))
    for parts, expected in zip(PACKS, everything, strict=True):
        for way in WAYS:
            found = compiled.logits(build_pack(parts, CUDA, way))
            assert found == pytest.approx(expected, abs=spread / 10)
    assert compiled.compiled


@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_host_waits_only_for_the_result(cache, way, compile):
    """Building and starting a pack waits for nothing: torch would raise at what synchronises."""
    found = model(compile=compile)
    expected = found.logits(build_pack(PACKS[3], CUDA, way))
    torch.cuda.set_sync_debug_mode("error")
    try:
        pending = found.start(build_pack(PACKS[3], CUDA, way))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert pending.result() == expected
    assert all(map(math.isfinite, expected))


def test_packs_may_overlap():
    """A pack that is started while another is under way does not disturb it."""
    found = model()
    expected = [found.logits(build_pack(parts, CUDA)) for parts in PACKS]
    pending = [found.start(build_pack(parts, CUDA)) for parts in PACKS]
    assert [waiting.result() for waiting in pending] == expected
