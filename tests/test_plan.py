"""Planning: its arithmetic against published figures, torch's own counting and the real engine.

Figures called measured are those of one H200 (torch 2.11.0, transformers 5.17.0, random weights of
zerank-2's shape); the table of operations was computed for the same note, by hand and apart.
"""

import dataclasses
import json
import string
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from packing_kit import Alive
from safetensors import safe_open
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen3Config, Qwen3Model

from zelo import Reranker
from zelo.bench.results import Comparison, Machine, Report, WorkloadResult
from zelo.bulk import BulkResult
from zelo.bulk.plan import (
    CARDS,
    Frame,
    Plan,
    Workload,
    card_named,
    frame_of,
    own_card,
    plan,
    read_measured,
    shape_of,
)
from zelo.bulk.plan.arithmetic import Tokens, operations_of, tokens_of
from zelo.bulk.plan.memory import memory_of
from zelo.bulk.plan.speed import COMPILED, EAGER
from zelo.errors import InputError, ModelFileError, UnknownModelError, UnsupportedModelError
from zelo.local.attention import NAME
from zelo.local.loading.checkpoint import inspect_checkpoint
from zelo.local.model import ScoringModel, load_backbone
from zelo.local.packing import Part, build_pack
from zelo.local.prompt import PromptEncoder
from zelo.scoring.options import Limits

WORK = Workload(pairs=10**9, query_tokens=20, document_tokens=300)


def made(workload: Workload = WORK, model: str = "zerank-2", **options: Any) -> Plan:
    """Plan for a card; the H200 where none is named."""
    shape = shape_of(model)
    frame = frame_of(shape, instructed=workload.instruction_tokens > 0)
    on = options.pop("on", CARDS["h200"])
    return plan(workload, shape, frame, on, **options)


# --- shapes and memory


@pytest.mark.parametrize(
    ("model", "size"),
    [("zerank-2", 8_044_936_192), ("zerank-1", 8_044_936_192), ("zerank-1-small", 3.44e9)],
)
def test_weights_take_what_the_published_checkpoints_do(model: str, size: float) -> None:
    """In bfloat16 the shapes' weights are as large as the files on the hub."""
    assert made(model=model).memory.weights["bfloat16"] == pytest.approx(size, rel=1e-3)


@pytest.mark.parametrize("form", ["zerank-2", "causal-untied", "converted-5"])
def test_weights_are_those_of_the_checkpoint(tiny_forms: dict[str, Path], form: str) -> None:
    """A folder's parameters are its tensors without the vocabulary projection and score row."""
    with safe_open(tiny_forms[form] / "model.safetensors", "pt") as tensors:
        sizes = {name: tensors.get_tensor(name).numel() for name in tensors.keys()}
    held = sum(size for name, size in sizes.items() if name.startswith("model."))
    assert shape_of(str(tiny_forms[form])).parameters == held


def test_folder_needs_no_weights(tiny_model: Path, tmp_path: Path) -> None:
    """config.json alone is enough, and what it lacks is then assumed and said."""
    (tmp_path / "config.json").write_bytes((tiny_model / "config.json").read_bytes())
    planned = made(model=str(tmp_path))
    assert planned.shape.parameters == shape_of(str(tiny_model)).parameters
    assert planned.frame == Frame(8, 5)
    assert any("zerank's" in one for one in planned.assumptions)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"num_hidden_layers": None}, ModelFileError),
        ({"hidden_size": "wide"}, ModelFileError),
        ({"model_type": "bert"}, UnsupportedModelError),
    ],
)
def test_folder_of_another_kind_is_refused(
    tmp_path: Path, changes: dict[str, object], error: type[Exception]
) -> None:
    """What is no Qwen3 with all its sizes has no plan."""
    tiny.write_json(tmp_path / "config.json", tiny.config())
    tiny.edit_json(tmp_path / "config.json", **changes)
    with pytest.raises(error):
        shape_of(str(tmp_path))


def test_unknown_models_are_refused() -> None:
    """A name that is none, and a model whose shape is not known, say what to give instead."""
    with pytest.raises(UnknownModelError):
        shape_of("zerank-9")
    with pytest.raises(InputError, match=r"folder with its config\.json.*zerank-1-small"):
        shape_of("Qwen/Qwen3-Reranker-8B")


def test_what_does_not_fit_has_no_hours() -> None:
    """A card too small gets no hours, no cost and no number of cards."""
    small = made(on=own_card(100, 9), price=1.0, deadline_hours=24)
    assert small.fits is False
    assert (small.hours, small.cost, small.cards) == (None, None, None)
    assert made(on=own_card(100, 12)).fits


def test_smaller_packs_need_less_memory() -> None:
    """The workspace follows the pack, and one long prompt makes a pack of its own."""
    small, default = made(pack_tokens=2_048), made()
    assert small.memory.workspace * 8 == default.memory.workspace
    long = made(dataclasses.replace(WORK, document_tokens=30_000), pack_tokens=2_048)
    assert long.memory.workspace > default.memory.workspace


@pytest.mark.parametrize(("hidden", "intermediate", "heads"), [(320, 1_216, 4), (256, 768, 2)])
def test_workspace_is_what_a_pass_keeps_alive(hidden: int, intermediate: int, heads: int) -> None:
    """The largest sum of living activations on the packed path is the one that is planned, for
    shapes with the proportions of zerank-2 and zerank-1-small, an eighth as wide."""
    config = Qwen3Config(
        vocab_size=64,
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=3,
        num_attention_heads=heads,
        num_key_value_heads=1,
        head_dim=128,
        attn_implementation=NAME,
    )
    backbone = Qwen3Model(config).to(torch.bfloat16).eval()
    model = ScoringModel(backbone, torch.ones(hidden))
    pack = build_pack([Part([1] * 40, [[2] * 100] * 20)], torch.device("cpu"))
    with Alive() as alive:
        model.logits(pack)
    sizes = {"hidden": hidden, "intermediate": intermediate, "heads": heads}
    shape = dataclasses.replace(shape_of("zerank-2"), kv_heads=1, **sizes)
    assert alive.most == pytest.approx(memory_of(shape, len(pack.ids)).workspace, rel=0.02)


# --- tokens and operations


@pytest.mark.parametrize(
    ("model", "linear", "pair", "pruned"),
    [("zerank-2", 7.2666, 589_824, 0.1914), ("zerank-1-small", 2.8186, 229_376, 0.0923)],
)
def test_constants_of_the_shapes(model: str, linear: float, pair: int, pruned: float) -> None:
    """GFLOP of all projections per token, FLOP of attention per pair of tokens, and GFLOP per token
    that the last layer spares, as the note has them."""
    shape = shape_of(model)
    weights = shape.key_value_weights + shape.other_weights
    assert 2 * shape.layers * weights / 1e9 == pytest.approx(linear, abs=5e-5)
    assert 4 * shape.layers * shape.query_width == pair
    assert 2 * shape.other_weights / 1e9 == pytest.approx(pruned, abs=5e-5)


@pytest.mark.parametrize(
    ("prefix", "own", "large", "small"),
    [
        (32, 64, 45.8, 17.6),
        (32, 2_048, 1_573.3, 606.3),
        (128, 256, 185.8, 71.6),
        (512, 512, 388.5, 149.7),
        (2_048, 64, 68.6, 26.5),
        (2_048, 2_048, 1_825.6, 703.6),
    ],
)
def test_operations_are_those_of_the_table(
    prefix: int, own: int, large: float, small: float
) -> None:
    """TFLOP of 100 documents behind a shared prefix, the last layer pruned, as in the note."""
    tokens = Tokens(prefix, own, documents=100, packs=1)
    for model, expected in (("zerank-2", large), ("zerank-1-small", small)):
        found = operations_of(shape_of(model), tokens).total / 1e12
        assert found == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize(("prefix", "own", "documents"), [(11, 7, 5), (1, 30, 3), (40, 2, 9)])
def test_operations_are_those_that_torch_counts(
    tiny_model: Path, prefix: int, own: int, documents: int
) -> None:
    """The packed path does as many as the formula says: all of them in projections, and in
    attention all but what is masked, which torch counts and the formula leaves out."""
    files = inspect_checkpoint(tiny_model).files
    cpu = torch.device("cpu")
    model = ScoringModel(load_backbone(files, cpu, torch.float32), torch.ones(64))
    part = Part(list(range(prefix)), [list(range(i, i + own)) for i in range(documents)])
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.logits(build_pack([part], cpu))
    counted = counter.get_flop_counts()["Global"]
    shape = shape_of(str(tiny_model))
    operations = operations_of(shape, Tokens(prefix, own, documents, packs=1))
    score = 2 * shape.hidden * documents  # a product with a vector, which torch does not count
    assert counted[torch.ops.aten.mm] == operations.projections - score
    masked = prefix * (prefix - 1) // 2 + documents * own * (own - 1) // 2
    masked *= 4 * shape.query_width * (shape.layers - 1)
    assert counted[torch.ops.aten.bmm] == operations.attention + masked


@pytest.mark.parametrize(
    ("documents", "budget", "query_tokens"),
    [(1, 64, 2), (7, 64, 2), (25, 64, 2), (25, 2_048, 2), (7, 64, 40)],
)
def test_tokens_are_those_that_the_engine_counts(
    tiny_model: Path, documents: int, budget: int, query_tokens: int
) -> None:
    """Prefixes repeat in each pack, and packs are as many as the engine makes; long prefixes make
    them larger."""
    texts = [f"{letter}\n" * 3 for letter in string.ascii_letters[:documents]]  # of equal length
    with Reranker(tiny_model, device="cpu", dtype="float32", max_batch_tokens=budget) as reranker:
        reranker.score("q\n" * (query_tokens // 2), texts)
        stats = reranker.stats()
    work = Workload(
        pairs=documents,
        query_tokens=query_tokens,
        document_tokens=6,
        documents_per_query=documents,
    )
    shape = shape_of(str(tiny_model), "zerank-2")
    tokens = tokens_of(work, frame_of(shape, instructed=False), budget, shape.context)
    assert (tokens.packs, tokens.unique) == (stats.packs, stats.tokens)


def test_sharing_saves_what_the_note_says() -> None:
    """Behind a prefix of 512, sharing spares 65 % for documents of 256."""
    tokens = Tokens(512, 256, documents=100, packs=1)
    assert 1 - tokens.unique / tokens.unshared == pytest.approx(0.65, abs=0.02)


def test_instruction_lengthens_the_shared_prefix() -> None:
    """It is computed once per pack, with the tags around it."""
    plain, instructed = made(), made(dataclasses.replace(WORK, instruction_tokens=50))
    assert instructed.tokens.prefix == plain.tokens.prefix + 50 + 12
    assert instructed.tokens.own == plain.tokens.own


def test_a_prompt_beyond_the_context_is_refused() -> None:
    """A plan for documents that would be cut says so."""
    with pytest.raises(InputError, match="40,960"):
        made(dataclasses.replace(WORK, document_tokens=41_000))


@pytest.mark.parametrize(
    "changes",
    [
        {"pairs": 0},
        {"document_tokens": -1},
        {"documents_per_query": 0},
        {"pairs": 10, "documents_per_query": 11},
    ],
)
def test_senseless_work_is_refused(changes: dict[str, int]) -> None:
    """Numbers that no work has are named."""
    with pytest.raises(InputError, match=next(iter(changes.keys() - {"pairs"} or {"pairs"}))):
        dataclasses.replace(WORK, **changes)


# --- frames


def test_frame_is_that_of_the_real_tokenizer() -> None:
    """What is assumed without a tokenizer is what Qwen3's makes of the prompt, to a token."""
    from qwen_tokenizer import qwen_tokenizer_json

    shape = shape_of("zerank-2")
    encoder = PromptEncoder(qwen_tokenizer_json(), shape.family)
    for instruction in (None, "i"):
        encoded = encoder.encode("q", ["a", "b"], instruction, Limits(shape.context))
        shared, own = frame_of(shape, instructed=instruction is not None)
        texts = 1 if instruction is None else 2
        assert shared - len(encoded.prefix) + texts in ((0,) if texts == 1 else (0, 1))
        assert own == len(encoded.suffixes[0]) - 1


def test_instruction_is_for_families_that_take_one() -> None:
    """zerank-1 takes none, and a plan with one is refused as scoring would be."""
    with pytest.raises(InputError, match="instruction"):
        frame_of(shape_of("zerank-1"), instructed=True)


# --- speed, cost, cards


@pytest.mark.parametrize(
    ("path", "shares"), [(EAGER, (0.473, 0.484, 0.450)), (COMPILED, (0.70, 0.70, 0.64))]
)
def test_shares_are_those_that_were_measured(path: Any, shares: tuple[float, ...]) -> None:
    """Of the 776 TFLOP/s that the card's largest multiplication reached, as the note says; a plan
    takes the lowest."""
    published = CARDS["h200"].tflops
    found = [one.share * published / 776 for one in path.measurements]
    assert found == pytest.approx(shares, abs=0.006)
    assert path.value == min(one.share for one in path.measurements)


@pytest.mark.parametrize("path", [EAGER, COMPILED], ids=["eager", "compiled"])
@pytest.mark.parametrize(("number", "prefix"), [(0, 40), (1, 40), (2, 512)])
def test_measured_times_are_predicted(path: Any, number: int, prefix: int) -> None:
    """One query with 100 documents takes, by plan, what it took, to within a tenth."""
    measured = path.measurements[number]
    own = round((measured.unique_tokens - prefix) / 100)
    work = Workload(pairs=100, query_tokens=prefix - 8, document_tokens=own - 5)
    roomy = own_card(CARDS["h200"].tflops, 1e6)  # where all of it is one pack, as was measured
    planned = made(work, on=roomy, share=path.value, pack_tokens=10**6)
    seconds = (planned.hours or 0) * 3600
    # the lowest of three shares is assumed, so what reached more is planned to take longer
    assert 0.93 <= seconds / measured.seconds <= 1.13


def test_hours_scale_as_they_should() -> None:
    """Twice the pairs take twice the hours, half the share twice, and cost follows hours."""
    one = made(price=2.0, share=0.4, deadline_hours=24)
    assert made(dataclasses.replace(WORK, pairs=2 * WORK.pairs), share=0.4).hours == pytest.approx(
        2 * (one.hours or 0)
    )
    assert made(share=0.2).hours == pytest.approx(2 * (one.hours or 0))
    assert one.cost == pytest.approx(2 * (one.hours or 0))
    assert one.cards is not None
    assert (one.cards - 1) * 24 < (one.hours or 0) <= one.cards * 24


def test_no_price_is_invented() -> None:
    """Without a price there is no cost, without a deadline no number of cards."""
    assert made().cost is None
    assert made().cards is None


def test_other_cards_are_marked() -> None:
    """Only the H200's plan is without the remark that its card was not measured."""
    told = {name: "\n".join(made(on=card).assumptions) for name, card in CARDS.items()}
    assert [name for name, text in told.items() if "NOT MEASURED" not in text] == ["h200"]
    assert "smaller model" in "\n".join(made(model="zerank-1-small").assumptions)


def test_cards_are_found_however_they_are_written() -> None:
    """Blanks, hyphens and capitals make no difference, and an unknown name lists the known."""
    assert card_named("RTX 4090") is card_named("rtx4090") is CARDS["rtx-4090"]
    with pytest.raises(InputError, match="h200, h100"):
        card_named("h9000")


@pytest.mark.parametrize(
    "options",
    [{"share": 0.0}, {"share": 1.5}, {"price": -1.0}, {"deadline_hours": 0.0}],
)
def test_senseless_options_are_refused(options: dict[str, float]) -> None:
    """A share beyond the peak, a negative price and no time at all mean nothing."""
    with pytest.raises(InputError, match=next(iter(options))):
        made(**options)


# --- a speed of one's own


def bench_report(hidden: int = 64, load: float = 0.1) -> dict[str, Any]:
    """What `zelo bench --json` writes of the tiny model."""
    shape = {"layers": 2, "hidden": hidden, "intermediate": 96, "heads": 4, "kv_heads": 2}
    comparisons = (
        Comparison("one", 4, (2.0, 9.0), (3.0, 9.0), 0.0, 1e-3),
        Comparison("other", 8, (1.0,), (2.0,), 0.0, 1e-3),
    )
    workloads = tuple(
        WorkloadResult(f"{number}", number, 8, 150 * number, 150.0, 300, 1.0, comparisons)
        for number in (100, 10)
    )
    machine = Machine("a processor", 2, 2, load, {})
    return Report("tiny", shape, "float32", machine, 2, 32, workloads).as_json()


def measured(report: object, model: Path, folder: Path) -> Any:
    """Write a report and read it."""
    (folder / "run.json").write_text(json.dumps(report), encoding="utf-8")
    shape = shape_of(str(model), "zerank-2")
    return read_measured(folder / "run.json", shape, frame_of(shape, instructed=False))


def test_benchs_own_workload_takes_its_own_time(tiny_model: Path, tmp_path: Path) -> None:
    """The largest workload is planned to take the median of zelo's times on it."""
    run = measured(bench_report(), tiny_model, tmp_path)
    work = Workload(pairs=100, query_tokens=8, document_tokens=150)
    assert (made(work, str(tiny_model), on=run).hours or 0) * 3600 == pytest.approx(2.0)
    twice = dataclasses.replace(work, pairs=200)
    planned = made(twice, str(tiny_model), on=run, price=3600.0)
    assert planned.cost == pytest.approx(4.0)
    assert planned.fits is None


def test_bulk_run_is_read(tiny_model: Path, tmp_path: Path) -> None:
    """What `zelo score` reports gives pairs per second, of what this start scored."""
    counts = dict.fromkeys((field.name for field in dataclasses.fields(BulkResult)), 0)
    result = BulkResult(**counts | {"output": "out", "pairs": 900, "pairs_now": 500, "seconds": 4})
    run = measured(dataclasses.asdict(result), tiny_model, tmp_path)
    planned = made(dataclasses.replace(WORK, pairs=10**6), str(tiny_model), on=run)
    assert planned.pairs_per_second == pytest.approx(125)
    assert "texts as long as there" in planned.assumptions[0]


def test_another_models_run_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    """A speed says nothing of a model of another shape."""
    with pytest.raises(InputError, match=r"hidden 128.*64"):
        measured(bench_report(hidden=128), tiny_model, tmp_path)


def test_busy_machine_is_told(tiny_model: Path, tmp_path: Path) -> None:
    """A measurement beside other work is marked."""
    run = measured(bench_report(load=5.0), tiny_model, tmp_path)
    assert any("busy" in one for one in made(model=str(tiny_model), on=run).assumptions)


@pytest.mark.parametrize(
    "report",
    [
        [],
        {},
        "fast",
        {"workloads": []},
        bench_report() | {"machine": None},
        {"pairs_now": 0, "seconds": 1.0},
        {"pairs_now": 5, "seconds": 0},
    ],
    ids=lambda report: json.dumps(report)[:20],
)
def test_other_files_are_refused(tiny_model: Path, tmp_path: Path, report: object) -> None:
    """What is no report, or one of no work, is named as such."""
    with pytest.raises(InputError, match=r"run\.json"):
        measured(report, tiny_model, tmp_path)
