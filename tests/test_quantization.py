"""Quantised layers against their emulation, against what rounding can do, and as parts of a model.

Emulations are written in float64 from the formats' definitions, and share no code with the layers.
"""

import math
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._dynamo.testing import CompileCounter
from transformers import Qwen3Config, Qwen3Model

from zelo import Reranker
from zelo.errors import InputError
from zelo.local.compiling import CACHE_VARIABLE, compile_layers
from zelo.local.loading.checkpoint import inspect_checkpoint
from zelo.local.loading.score_head import read_score_row
from zelo.local.model import ScoringModel, load_backbone
from zelo.local.packing import Part, build_pack
from zelo.local.quantization import check_quantization, quantize, weights_bytes
from zelo.local.quantization.layer import QuantizedLinear
from zelo.local.quantization.methods import METHODS
from zelo.local.quantization.weights_only import GROUP, Int4WeightLinear
from zelo.scoring.options import Quantization

NAMES: tuple[Quantization, ...] = get_args(Quantization)
CPU = torch.device("cpu")
PROJECTIONS = {
    *(f"self_attn.{name}_proj" for name in "qkvo"),
    *(f"mlp.{name}_proj" for name in ("gate", "up", "down")),
}


class Rounded(NamedTuple):
    """A matrix as a format holds it, in float64, and the most that any number is off."""

    values: torch.Tensor
    error: torch.Tensor


def e4m3(matrix: torch.Tensor) -> Rounded:
    """Rows scaled to 448 at most, rounded to three bits of mantissa, exponents from -6 on."""
    scale = matrix.double().abs().amax(1, keepdim=True).clamp(min=1e-12) / 448
    scaled = matrix.double() / scale
    step = torch.exp2(torch.floor(torch.log2(scaled.abs())).clamp(min=-6) - 3)
    return Rounded((scaled / step).round() * step * scale, step / 2 * scale)


def int8(matrix: torch.Tensor) -> Rounded:
    """Rows scaled to 127 at most, rounded to integers."""
    scale = matrix.double().abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
    return Rounded((matrix.double() / scale).round() * scale, (scale / 2).expand_as(matrix))


def int4(matrix: torch.Tensor) -> Rounded:
    """Groups of up to 128 columns, each in 16 even steps from its least to its largest number."""
    values, errors = [], []
    for group in matrix.double().split(GROUP, dim=1):
        # a last group that is not full, or not of an even length, is filled up with zeros
        full = group.shape[1] == GROUP or (matrix.shape[1] < GROUP and group.shape[1] % 2 == 0)
        span = group if full else torch.nn.functional.pad(group, (0, 1))
        least, largest = span.amin(1, keepdim=True), span.amax(1, keepdim=True)
        step = (largest - least).clamp(min=1e-12) / 15
        values.append(((group - least) / step).round() * step + least)
        errors.append((step / 2).expand_as(group))
    return Rounded(torch.cat(values, 1), torch.cat(errors, 1))


def exact(matrix: torch.Tensor) -> Rounded:
    """As it is."""
    return Rounded(matrix.double(), torch.zeros_like(matrix, dtype=torch.float64))


FORMATS: dict[str, tuple[Callable[..., Rounded], Callable[..., Rounded]]] = {
    "fp8": (e4m3, e4m3),
    "int8": (int8, int8),
    "int8-weights": (exact, int8),
    "int4-weights": (exact, int4),
}
"""Of activations and of weights."""


def linear(width: int, out: int, bias: bool = False, seed: int = 0) -> torch.nn.Linear:
    """A random projection, the same for the same arguments."""
    generator = torch.Generator().manual_seed(seed)
    made = torch.nn.Linear(width, out, bias=bias)
    with torch.no_grad():
        made.weight.copy_(torch.randn(out, width, generator=generator) / width**0.5)
        if bias:
            made.bias.copy_(torch.randn(out, generator=generator))
    return made


def activations(rows: int, width: int, outliers: bool = False, seed: int = 1) -> torch.Tensor:
    """Random rows; with outliers two columns are a hundred times as large, as in real models."""
    x = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))
    if outliers:
        x[:, [3, width // 2]] *= 100
    return x


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Length of the difference over that of what was wanted."""
    return float((found.double() - wanted.double()).norm() / wanted.double().norm())


@pytest.fixture(autouse=True)
def _inference() -> Any:
    with torch.inference_mode():
        yield


@pytest.fixture
def backbone(tiny_model: Path) -> Any:
    """The tiny model's layers in float32, for a test to change."""
    return load_backbone(inspect_checkpoint(tiny_model).files, CPU, torch.float32)


@pytest.mark.parametrize("outliers", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_layer_computes_what_its_format_says(name: Quantization, outliers: bool) -> None:
    """Rounded as the format rounds, activations times weights give the layer's result.

    Sums of 200 products in float32 are off by at most 200 x 2**-24 of the magnitudes added. A
    number that lies between two codes may fall to either in float32, so few may be off by more.
    """
    layer, x = linear(208, 48), activations(40, 208, outliers)
    of_rows, of_weights = FORMATS[name]
    rows, weight = of_rows(x).values, of_weights(layer.weight).values
    wanted = rows @ weight.T
    room = 208 * 2**-24 * (rows.abs() @ weight.abs().T) + 1e-12
    off = (METHODS[name](layer)(x).double() - wanted).abs() > room
    assert off.float().mean() < 0.02
    assert relative(METHODS[name](layer)(x), wanted) < 1e-3


@given(
    name=st.sampled_from(NAMES),
    width=st.integers(1, 20).map(lambda n: 16 * n),
    rows=st.integers(1, 20),
    outliers=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_the_error_is_what_rounding_makes(
    name: Quantization, width: int, rows: int, outliers: bool, seed: int
) -> None:
    """No result is further from the unquantised one than the roundings of its terms add up to."""
    layer, x = linear(width, 32, seed=seed), activations(rows, width, outliers, seed + 1)
    of_rows, of_weights = FORMATS[name]
    dx, dw = of_rows(x).error, of_weights(layer.weight).error
    size, weight = x.double().abs(), layer.weight.double().abs()
    bound = (size + dx) @ (weight + dw).T - size @ weight.T
    bound = 1.001 * bound + 1e-5 * (size @ weight.T)  # arithmetic in float32
    wanted = x.double() @ layer.weight.double().T
    assert ((METHODS[name](layer)(x).double() - wanted).abs() <= bound).all()


@pytest.mark.parametrize(
    ("name", "most"),
    [("fp8", 0.05), ("int8", 0.012), ("int8-weights", 0.01), ("int4-weights", 0.12)],
)
def test_typical_errors(name: Quantization, most: float) -> None:
    """On random numbers a layer loses one to ten percent, by its format."""
    layer, x = linear(256, 64), activations(100, 256)
    assert most / 3 < relative(METHODS[name](layer)(x), layer(x)) < most


@pytest.mark.parametrize(("name", "least", "most"), [("fp8", 0.01, 0.05), ("int8", 0.2, 0.4)])
def test_outliers_cost_integers_their_steps(name: Quantization, least: float, most: float) -> None:
    """Two large columns take the steps of int8 from all others; those of e4m3 are relative.

    The large columns have weights of zero, or their own products would hide the others'.
    """
    layer, x = linear(256, 64), activations(100, 256, outliers=True)
    layer.weight[:, [3, 128]] = 0
    assert least < relative(METHODS[name](layer)(x), layer(x)) < most


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_every_shape_and_number_type(name: Quantization, dtype: torch.dtype) -> None:
    """Any leading dimensions, none, one or many rows; results have the type of what came in."""
    layer = METHODS[name](linear(64, 96, bias=True).to(dtype))
    for shape in ((1, 30, 64), (30, 64), (2, 3, 5, 64), (1, 1, 64), (1, 0, 64), (64,)):
        x = torch.zeros(shape, dtype=dtype)
        out = layer(x)
        assert (out.shape, out.dtype) == ((*shape[:-1], 96), dtype)
        assert out.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_a_row_does_not_depend_on_its_neighbours(name: Quantization) -> None:
    """A token alone gives what it gives among others: scales are its own."""
    layer, x = METHODS[name](linear(64, 32)), activations(50, 64)
    x[7] *= 1_000
    together = layer(x[None])[0]
    for row in (0, 7, 49):
        torch.testing.assert_close(layer(x[row : row + 1])[0], together[row], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_bias_is_added(name: Quantization) -> None:
    """A projection with a bias keeps it as it is, and zeros give the bias and nothing else."""
    whole = linear(32, 16, bias=True)
    assert torch.equal(METHODS[name](whole)(torch.zeros(3, 32)), whole.bias.expand(3, 16))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_finite_stays_so_and_spoils_nothing_else(
    name: Quantization, bad: float
) -> None:
    """A row with NaN or infinity has no finite result, and the other rows have theirs."""
    layer, x = METHODS[name](linear(64, 32)), activations(20, 64)
    sound = layer(x)
    x[5, 40] = bad
    spoilt = layer(x)
    assert not spoilt[5].isfinite().any()
    kept = [row for row in range(20) if row != 5]
    torch.testing.assert_close(spoilt[kept], sound[kept], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_prompt_gets_no_score(
    tiny_model: Path, backbone: Any, name: Quantization
) -> None:
    """Infinite hidden states reach the logit as NaN, of the prompts that have them alone."""
    with torch.no_grad():
        backbone.embed_tokens.weight[9] = math.inf
    quantize(backbone, name)
    checkpoint = inspect_checkpoint(tiny_model)
    model = ScoringModel(backbone, read_score_row(checkpoint, tiny.token_id("Yes"), None))
    pack = build_pack([Part([1, 2], [[3, 4], [5, 9, 6], [7, 8]])], CPU)
    assert [math.isfinite(logit) for logit in model.logits(pack)] == [True, False, True]


@pytest.mark.parametrize("name", NAMES)
def test_a_compiled_layer_has_one_graph_for_all_lengths(name: Quantization) -> None:
    """Traced whole, without a break, and not again for packs of other lengths."""
    torch._dynamo.reset()
    counter = CompileCounter()
    layer = METHODS[name](linear(64, 32))
    compiled = torch.compile(layer, dynamic=True, fullgraph=True, backend=counter)
    for length in (25, 169, 3, 603, 2):
        x = activations(length, 64)[None]
        torch.testing.assert_close(compiled(x), layer(x))
    assert counter.frame_count == 1


@pytest.mark.parametrize("name", ["fp8", "int8"])
def test_a_compiled_model_has_no_more_graphs(
    tiny_model: Path,
    backbone: Any,
    name: Quantization,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One for all layers but the last and one for that, as without quantisation; scores agree."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    torch._dynamo.reset()
    counter = CompileCounter()
    quantize(backbone, name)
    row = read_score_row(inspect_checkpoint(tiny_model), tiny.token_id("Yes"), None)
    model = ScoringModel(backbone, row)
    packs = [
        build_pack([Part([1, 2, 3], [[*range(5, 9 + n + i)] for i in range(n)])], CPU)
        for n in (3, 5, 4, 9)
    ]
    logits = [model.logits(pack) for pack in packs]
    compile_layers(model.backbone, backend=counter)
    model.compiled = True
    for pack, wanted in zip(packs, logits, strict=True):
        assert model.logits(pack) == pytest.approx(wanted, abs=1e-4)
    assert counter.frame_count == 2


def test_codes_of_four_bits_lie_as_documented() -> None:
    """A weight is read back from its byte, by place and half, with its group's scale and offset."""
    whole = linear(256, 3)
    layer = Int4WeightLinear(whole)
    assert layer.weight.shape == (3, 2, 64)
    assert layer.weight.dtype == torch.uint8
    for out, column in ((0, 0), (1, 63), (2, 64), (0, 127), (1, 128), (2, 255)):
        group, place = divmod(column, 128)
        byte = int(layer.weight[out, group, place % 64])
        code = byte >> 4 if place >= 64 else byte & 15
        scale, offset = float(layer.scale[out, group, 0]), float(layer.offset[out, group, 0])
        assert abs(code * scale + offset - float(whole.weight[out, column])) <= scale / 2 * 1.001
    assert layer.scale.shape == layer.offset.shape == (3, 2, 1)


def test_the_projections_and_nothing_else_change(backbone: Any) -> None:
    """Seven modules of each layer are replaced; every other tensor is the very same one."""
    before = dict(backbone.named_parameters())
    quantize(backbone, "int8")
    for layer in backbone.layers:
        found = {n for n, module in layer.named_modules() if isinstance(module, QuantizedLinear)}
        assert found == PROJECTIONS
    after = dict(backbone.named_parameters())
    assert {name for name in before if name not in after} == {
        f"layers.{layer}.{name}.weight" for layer in range(2) for name in PROJECTIONS
    }
    assert all(parameter is before[name] for name, parameter in after.items())


def test_a_wrapped_last_layer_is_quantised_too(tiny_model: Path) -> None:
    """Before or after the last layer is wrapped, the model comes out the same."""
    checkpoint = inspect_checkpoint(tiny_model)
    row = read_score_row(checkpoint, tiny.token_id("Yes"), None)
    pack = build_pack([Part([1, 2], [[3, 4], [5, 6]])], CPU)
    before = load_backbone(checkpoint.files, CPU, torch.float32)
    quantize(before, "int4-weights")
    logits = ScoringModel(before, row).logits(pack)
    wrapped = ScoringModel(load_backbone(checkpoint.files, CPU, torch.float32), row)
    unquantised = wrapped.logits(pack)
    quantize(wrapped.backbone, "int4-weights")
    assert wrapped.logits(pack) == pytest.approx(logits)
    assert logits != pytest.approx(unquantised, abs=1e-3)


def test_no_weights_stand_in_memory_twice(backbone: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As each projection is converted, those before it are gone."""
    originals = [
        weakref.ref(module.weight)
        for layer in backbone.layers
        for module in layer.modules()
        if isinstance(module, torch.nn.Linear)
    ]
    alive: list[int] = []

    class Counting(METHODS["int8"]):  # type: ignore[misc]  # a class that is looked up
        def __init__(self, whole: torch.nn.Linear) -> None:
            alive.append(sum(reference() is not None for reference in originals))
            super().__init__(whole)

    monkeypatch.setitem(METHODS, "int8", Counting)
    quantize(backbone, "int8")
    assert alive == [14 - done for done in range(14)]
    assert not any(reference() is not None for reference in originals)


def test_a_folder_is_quantised_as_it_is_read(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each projection is read and moved when its turn comes, and gone before the next one's."""
    device = torch.device("meta")  # the one other device that every machine has
    read: list[weakref.ref[Any]] = []
    alive: list[int] = []

    class Counting(METHODS["int8"]):  # type: ignore[misc]  # a class that is looked up
        def __init__(self, whole: torch.nn.Linear) -> None:
            read.append(weakref.ref(whole.weight))
            alive.append(sum(reference() is not None for reference in read))
            super().__init__(whole)

    monkeypatch.setitem(METHODS, "int8", Counting)
    files = inspect_checkpoint(tiny_model).files
    found = load_backbone(files, device, torch.float32, "int8")
    assert alive == [1] * 14
    assert all(tensor.device == device for tensor in found.state_dict().values())
    assert found.device == device


LOADING = r"""
import re, sys
from pathlib import Path
import torch
from zelo.local.loading.checkpoint import read_checkpoint_files
from zelo.local.model import load_backbone

def memory(what):  # getrusage counts what the parent held, too
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(what + r":\s+(\d+) kB", status)[1])

def load(folder):
    files = read_checkpoint_files(Path(folder))
    return load_backbone(files, torch.device("cpu"), torch.bfloat16, "int4-weights")

load(sys.argv[1])
before = memory("VmRSS")
loaded = load(sys.argv[2])
print(memory("VmHWM") - before, sum(tensor.nbytes for tensor in loaded.state_dict().values()))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_loading_takes_hardly_more_memory_than_what_stays(tmp_path: Path) -> None:
    """At most 1.3 times as much, where the file has nearly four times as much."""
    small = tiny.save_causal(tmp_path / "small")
    large = tiny.save_causal(tmp_path / "large")
    sizes = {"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 20}
    tiny.edit_json(large / "config.json", **sizes)
    with torch.device("meta"):
        shapes = Qwen3Model(Qwen3Config.from_dict(tiny.config() | sizes)).state_dict()
    tiny.save_zeros(large / "model.safetensors", {n: tuple(t.shape) for n, t in shapes.items()})
    command = [sys.executable, "-c", LOADING, str(small), str(large)]
    told = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    peak, held = map(int, told.split())
    assert peak < 1.3 * held


def test_quantising_twice_is_refused(backbone: Any) -> None:
    """A second call finds nothing to replace, and says so."""
    quantize(backbone, "int8")
    with pytest.raises(ValueError, match="no projection left"):
        quantize(backbone, "fp8")


@pytest.mark.parametrize(("name", "multiple"), [("fp8", 16), ("int8", 8)])
def test_widths_that_a_kernel_cannot_take_are_refused(name: Quantization, multiple: int) -> None:
    """The error names the width and what takes it, and nothing has been changed by then."""
    config = tiny.config() | {"intermediate_size": 100}
    odd = Qwen3Model(Qwen3Config.from_dict(config))
    with pytest.raises(InputError, match=rf"multiples of {multiple}.*'int8-weights'"):
        quantize(odd, name)
    assert not any(isinstance(module, QuantizedLinear) for module in odd.modules())
    quantize(odd, "int4-weights")


@pytest.mark.parametrize(
    ("name", "most"), [("fp8", 0.6), ("int8", 0.2), ("int8-weights", 0.1), ("int4-weights", 1.0)]
)
def test_a_quantised_model_scores_nearly_as_before(
    tiny_model: Path, local: Reranker, name: Quantization, most: float
) -> None:
    """Logits move by a part of their spread, and do move; the packed model scores like this too."""
    documents = [line for text in tiny.PARAGRAPHS for line in text.split("\n") if line.strip()]
    query = "how do I read a file"
    wanted = torch.tensor(local.score(query, documents, scale="logit"))
    with Reranker(tiny_model, dtype="float32", device="cpu", quantization=name) as reranker:
        found = torch.tensor(reranker.score(query, documents, scale="logit"))
        assert reranker.settings["quantization"] == name
    deviation = float((found - wanted).std() / wanted.std())
    assert most / 50 < deviation < most


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_cpu_runs_all_of_them(name: Quantization, dtype: torch.dtype) -> None:
    """No card is needed to try a quantisation."""
    check_quantization(name, CPU, dtype)


def test_an_unknown_name_is_refused() -> None:
    """The message lists the names."""
    with pytest.raises(InputError, match="fp8, int8, int8-weights, int4-weights"):
        check_quantization("int2", CPU, torch.float32)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "capability", "told"),
    [
        ("fp8", (8, 6), r"Ada \(RTX 40, L4, L40S\), Hopper"),
        ("fp8", (8, 0), "Hopper"),
        ("int8", (7, 5), r"Ampere \(A100, RTX 30\)"),
    ],
)
def test_older_cards_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: Quantization, capability: tuple[int, int], told: str
) -> None:
    """The message says which cards can, and what runs here instead."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Old Card")
    with pytest.raises(InputError, match=told) as refused:
        check_quantization(name, torch.device("cuda:0"), torch.bfloat16)
    assert "Old Card" in str(refused.value)
    assert "'int8-weights' and 'int4-weights' run anywhere" in str(refused.value)


@pytest.mark.parametrize("name", ["fp8", "int8"])
@pytest.mark.parametrize("device", ["mps", "xpu", "cuda"])
def test_cards_of_other_makers_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: Quantization, device: str
) -> None:
    """AMD's cards are called cuda by torch, with capabilities that mean something else."""
    monkeypatch.setattr(torch.version, "hip", "7.0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 4))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "MI300X")
    with pytest.raises(InputError, match="needs an NVIDIA card"):
        check_quantization(name, torch.device(device), torch.bfloat16)


def test_fp8_on_a_card_wants_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel gives nothing else on every card; the message says what to write."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    with pytest.raises(InputError, match="give dtype='bfloat16'"):
        check_quantization("fp8", torch.device("cuda:0"), torch.float32)


def test_a_kernel_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torch that cannot do it here is found out before a model is loaded."""

    def missing(*_: object, **__: object) -> None:
        raise NotImplementedError("Could not run 'aten::_int_mm'\nwith a long list")

    monkeypatch.setattr(torch, "_int_mm", missing)
    with pytest.raises(InputError, match=r"does not run on cpu .*Could not run 'aten::_int_mm'\. "):
        check_quantization("int8", CPU, torch.float32)


def test_a_kernel_that_gives_wrong_products_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A result that has nothing to do with the right one, or is NaN, is refused."""
    product = torch._int_mm
    monkeypatch.setattr(torch, "_int_mm", lambda a, b: product(a, b.flip(0)))
    with pytest.raises(InputError, match="wrong products"):
        check_quantization("int8", CPU, torch.float32)
    monkeypatch.setattr(torch, "_scaled_mm", lambda a, b, **_: torch.full((20, 32), math.nan))
    with pytest.raises(InputError, match="wrong products"):
        check_quantization("fp8", CPU, torch.float32)


@pytest.mark.parametrize("name", [None, *NAMES])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_memory_is_that_of_the_loaded_model(
    tiny_model: Path, name: Quantization | None, dtype: torch.dtype
) -> None:
    """The bytes told from config.json alone are those of a real model's tensors."""
    files = inspect_checkpoint(tiny_model).files
    loaded = load_backbone(files, CPU, dtype)
    if name is not None:
        quantize(loaded, name)
    held = sum(tensor.nbytes for tensor in loaded.state_dict().values())
    assert weights_bytes(files.config, dtype, name) == held


@pytest.mark.parametrize(
    ("name", "gigabytes"),
    [
        (None, 8.045),
        ("fp8", 4.416),
        ("int8", 4.416),
        ("int8-weights", 4.414),
        ("int4-weights", 2.709),
    ],
)
def test_memory_of_four_billion_weights(name: Quantization | None, gigabytes: float) -> None:
    """Qwen3-4B has 3.633e9 weights in projections and 0.389e9 others, these in bfloat16.

    Others 0.778 GB; projections 7.27 GB in bfloat16, 3.63 in eight bits, and in four 1.82 with two
    numbers of two bytes for each 128: 0.11.
    """
    config = {
        "model_type": "qwen3",
        "hidden_size": 2560,
        "intermediate_size": 9728,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151_936,
        "layer_types": ["full_attention"] * 36,
    }
    assert weights_bytes(config, torch.bfloat16, name) / 1e9 == pytest.approx(gigabytes, abs=5e-4)
