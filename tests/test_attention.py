"""The ragged ways of attention against attention segment by segment, and the kernel's contract."""

import logging
import math
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from packing_kit import CPU, PARTS, ROW, Alive, bounds, part, qwen
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModel, Qwen3Config

from zelo.bulk.plan.memory import memory_of
from zelo.bulk.plan.models import shape_of
from zelo.local.attention import NAME, kernel
from zelo.local.model import LastLayer, ScoringModel, last_states
from zelo.local.packing import Part, build_pack
from zelo.local.ragged import Segments

WAYS = ["gathered", "merged"]
CASES = {
    "one document": [part(9, 11)],
    "two documents": [part(9, 11, 2)],
    "one token each": [part(1, 1, 1)],
    "several queries": [part(7, 5, 3, 20), part(150, 9, 9, 9, 1), part(3, 40)],
    "no prefix": [part(0, 11, 4)],
    "one without prefix": [part(6, 5, 4), part(0, 8), part(2, 2)],
    "prefix longer than a tile": [part(300, 5, 140)],
}


@pytest.fixture(scope="module")
def backbone():
    model = qwen(NAME)
    model.layers[-1] = LastLayer(model.layers[-1])
    return model


@pytest.fixture(scope="module")
def stock():
    return qwen("sdpa")


class Calls(TorchDispatchMode):
    """Keeps the names of operators called within it, and their arguments by name."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        arguments = {argument.name: argument.default_value for argument in func._schema.arguments}
        given = dict(zip(arguments, args, strict=False)) | (kwargs or {})
        self.seen.append((func.name(), arguments | given))
        return func(*args, **(kwargs or {}))


@contextmanager
def without_values(config):
    """Yield a model in bfloat16 whose tensors have shapes and no values, as everything within."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = AutoModel.from_config(config, dtype=torch.bfloat16, attn_implementation=NAME)
        model.layers[-1] = LastLayer(model.layers[-1])
        with torch.inference_mode():
            yield model.eval()


def states(backbone, parts, way=None):
    with torch.inference_mode():
        return last_states(backbone, build_pack(parts, CPU, way), ragged=way is not None)


@pytest.mark.parametrize("way", [None, *WAYS])
@pytest.mark.parametrize("parts", CASES.values(), ids=CASES)
def test_every_way_equals_the_stock_model(backbone, stock, parts, way):
    """Hidden states are those that transformers' own model gives each prompt alone, to 1e-11 of
    their size in double precision."""
    with torch.inference_mode():
        alone = [
            stock(torch.tensor([prefix + suffix]), use_cache=False).last_hidden_state[0, -1]
            for prefix, suffixes in parts
            for suffix in suffixes
        ]
    torch.testing.assert_close(states(backbone, parts, way), torch.stack(alone), rtol=0, atol=1e-11)


@settings(max_examples=60)
@given(parts=PARTS)
def test_ways_agree_whatever_the_lengths(backbone, parts):
    """Gathered and merged give what attention segment by segment gives."""
    expected = states(backbone, parts)
    for way in WAYS:
        torch.testing.assert_close(states(backbone, parts, way), expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_ways_agree_within_rounding(dtype):
    """In fewer bits the ways differ by rounding only: a twentieth of the scores' spread in
    bfloat16, far less in float32."""
    model = ScoringModel(qwen(NAME, dtype), ROW)
    parts = [part(200, *range(1, 20)), part(30, *range(20, 30))]
    expected = model.logits(build_pack(parts, CPU))
    part_of_spread = 20 if dtype == torch.bfloat16 else 20_000
    close = pytest.approx(expected, abs=(max(expected) - min(expected)) / part_of_spread)
    for way in WAYS:
        with torch.inference_mode():
            hidden = last_states(model.backbone, build_pack(parts, CPU, way), ragged=True)
        assert (hidden.float() @ ROW).tolist() == close


def test_kernel_is_causal_from_the_end():
    """With fewer queries than keys the last query sees every key, and the first all but the rest:
    values are one-hot by key, products equal, so each result tells which keys were seen."""
    value = torch.eye(9, 16)[:, None]  # (9 keys, 1 head, 16)
    query, key = torch.zeros(6, 1, 16), torch.zeros(9, 1, 16)
    out, lse = kernel.attend(query, key, value, bounds([2, 1, 3], [4, 2, 3]), 1.0, causal=True)
    seen = [{0, 1, 2}, {0, 1, 2, 3}, {4, 5}, {6}, {6, 7}, {6, 7, 8}]
    assert [set(row.nonzero()[:, 0].tolist()) for row in out[:, 0]] == seen
    assert lse.exp().tolist() == [pytest.approx([len(keys) for keys in seen])]


def test_kernel_without_causality():
    """Every query of a segment sees every key of it, and none of another."""
    value = torch.eye(5, 16)[:, None]
    query, key = torch.zeros(3, 1, 16), torch.zeros(5, 1, 16)
    out, _ = kernel.attend(query, key, value, bounds([2, 1], [3, 2]), 1.0, causal=False)
    assert [row.nonzero()[:, 0].tolist() for row in out[:, 0]] == [[0, 1, 2], [0, 1, 2], [3, 4]]


@pytest.mark.parametrize("causal", [True, False])
def test_kernel_shares_key_heads_among_query_heads(causal):
    """Query heads 0 and 1 read key head 0, 2 and 3 read 1; log-sum-exps are natural, (H, Q)."""
    torch.manual_seed(1)
    query, key, value = torch.randn(5, 4, 16), torch.randn(7, 2, 16), torch.randn(7, 2, 16)
    out, lse = kernel.attend(query, key, value, bounds([5], [7]), 0.3, causal=causal)
    assert (out.shape, lse.shape, lse.dtype) == ((5, 4, 16), (4, 5), torch.float32)
    for head in range(4):
        products = 0.3 * query[:, head] @ key[:, head // 2].T
        if causal:
            products += torch.full((5, 7), -math.inf).triu(3)
        torch.testing.assert_close(lse[head], products.logsumexp(1))
        torch.testing.assert_close(out[:, head], products.softmax(1) @ value[:, head // 2])


@pytest.mark.parametrize("heads_first", [False, True])
def test_kernel_can_be_traced(heads_first):
    """The operator's shapes, number types and strides are those that it says to compilers."""
    query, key, value = torch.randn(5, 4, 16), torch.randn(7, 2, 16), torch.randn(7, 2, 16)
    if heads_first:
        query = torch.randn(4, 5, 16).transpose(0, 1)
    arguments = (query, key, value, *bounds([2, 3], [3, 4]), 0.3, True)
    torch.library.opcheck(torch.ops.zelo.ragged_attention.default, arguments)


@pytest.mark.parametrize("causal", [True, False])
def test_kernel_of_this_torch_takes_the_call(causal):
    """What a CUDA device is asked for has the form that torch's own kernel has, whatever its
    version, keys are in one split where that can be said; tensors without values need no device."""
    with FakeTensorMode(), Calls() as calls:
        query = torch.empty(5, 4, 16, dtype=torch.bfloat16, device="cuda")
        key = torch.empty(7, 2, 16, dtype=torch.bfloat16, device="cuda")
        sums = torch.empty(3, dtype=torch.int32, device="cuda")
        two = Segments(sums, sums, 128, 128)
        out, lse = kernel.attend(query, key, key, two, 0.3, causal=causal)
    assert (out.shape, out.dtype, out.device.type) == ((5, 4, 16), torch.bfloat16, "cuda")
    assert (lse.shape, lse.dtype) == ((4, 5), torch.float32)
    [asked] = [arguments for name, arguments in calls.seen if "varlen" in name]
    assert asked["window_size"] == ([-1, 0] if causal else [-1, -1])
    assert asked.get("num_splits", 1) == 1


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_merging_is_stable(scale):
    """Where one side has all the weight, or products are large, nothing overflows."""
    model = qwen(NAME)
    with torch.no_grad():
        for layer in model.layers:
            layer.self_attn.k_norm.weight.mul_(scale)
    model.layers[-1] = LastLayer(model.layers[-1])
    parts = [part(20, 5, 6), part(3, 30)]
    expected = states(model, parts)
    assert expected.isfinite().all()
    torch.testing.assert_close(states(model, parts, "merged"), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("way", WAYS)
def test_host_reads_nothing_from_the_device(way):
    """A pass runs on tensors without values, so no value decides what is launched."""
    pack = build_pack([part(7, 5, 3), part(4, 9)], CPU, way)
    with without_values(qwen(NAME).config) as model:
        assert last_states(model, pack, ragged=True).shape == (3, 32)
        with pytest.raises(DataDependentOutputException):
            model.norm.weight[0].item()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("lengths", [(40, 400), (2_048, 256), (32, 64)])
@pytest.mark.parametrize("name", ["zerank-2", "zerank-1-small"])
def test_what_a_pack_of_32_768_tokens_keeps_alive(name, lengths, way):
    """At true widths and without a compiler, what is alive at once is at most a tenth more than
    planned, and below 3 GiB in bfloat16; what the kernel itself takes is not in it."""
    shape = shape_of(name)
    config = Qwen3Config(
        vocab_size=64,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=3,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
    )
    prefix, own = lengths
    documents = (32_768 - prefix) // own
    pack = build_pack([Part([1] * prefix, [[2] * own] * documents)], CPU, way)
    with without_values(config) as model, Alive() as alive:
        last_states(model, pack, ragged=True)
    assert 0.9 < alive.most / memory_of(shape, len(pack.ids)).workspace < 1.12
    assert alive.most <= 3 * 2**30


@pytest.mark.parametrize(
    ("changed", "runs"),
    [
        *[({}, True), ({"dtype": torch.float16}, True), ({"dtype": torch.float32}, False)],
        *[({"head_dim": 256}, True), ({"head_dim": 264}, False), ({"head_dim": 100}, False)],
        *[({"capability": (7, 5)}, False), ({"hip": "6.4"}, False)],
        *[({"device": device}, False) for device in ("cpu", "mps", "xpu")],
    ],
)
def test_where_the_kernel_runs(monkeypatch, changed, runs):
    """FlashAttention takes 16 bits and heads of up to 256 numbers, on NVIDIA's cards from the A100
    on; AMD's, whose log-sum-exps lie otherwise, and everything else goes segment by segment."""
    what = {"device": "cuda", "dtype": torch.bfloat16, "head_dim": 128} | changed
    monkeypatch.setattr(torch.version, "hip", what.pop("hip", None))
    capability = what.pop("capability", (8, 0))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    device = torch.device(what.pop("device"))
    assert kernel.runs_on(device, **what) == runs


@pytest.fixture
def hopper(monkeypatch, tmp_path):
    """Make this machine look like one with a Hopper card and a package of FlashAttention-3 that
    was built for another torch."""
    (tmp_path / "flash_attn_interface.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    yield torch.device("cuda")
    sys.modules.pop("flash_attn_interface", None)


def test_flash_attention_3_that_does_not_work_is_left_out(hopper, caplog):
    """Its failure is a warning, and torch's own FlashAttention stays."""
    with caplog.at_level(logging.WARNING, logger="zelo"):
        kernel.prefer_newest(hopper)
    assert "FlashAttention-3 is installed and cannot be used" in caplog.text
    assert torch.nn.attention.current_flash_attention_impl() is None


def test_flash_attention_that_somebody_chose_is_left_alone(hopper, caplog):
    """torch holds one for the whole process, so zelo does not choose over another's head."""
    torch.nn.attention.register_flash_attention_impl(
        "other", register_fn=lambda: SimpleNamespace(remove=lambda: None)
    )
    torch.nn.attention.activate_flash_attention_impl("other")
    try:
        kernel.prefer_newest(hopper)
        assert torch.nn.attention.current_flash_attention_impl() == "other"
    finally:
        torch.nn.attention.restore_flash_attention_impl()
    assert not caplog.records
