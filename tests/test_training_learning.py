"""The learning core: what a step is made of, the student's maths, what is trained and saved."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as trying
from hypothesis import strategies as st
from learning_kit import examples, gradients, queries, settings, squares, student, weights
from sentence_transformers import CrossEncoder

from zelo import Reranker
from zelo.errors import InputError
from zelo.local.packing import Part, build_pack
from zelo.scoring.options import Limits
from zelo.training.learning import Example, Examples, Learning, Student, learn, predict
from zelo.training.learning.examples import tokens_of
from zelo.training.learning.steps import batches, plan, share
from zelo.training.learning.weights import Weights

CPU = torch.device("cpu")
IDS = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5)
EXAMPLE = st.lists(st.tuples(IDS, st.floats(0, 1)), min_size=1, max_size=6).flatmap(
    lambda prompts: st.builds(
        lambda prefix: Example(Part(prefix, [ids for ids, _ in prompts]), [t for _, t in prompts]),
        st.one_of(st.just([]), IDS),
    )
)


def step_gradients(of: Student, parts: list[Example]) -> dict[str, torch.Tensor]:
    """Return the gradients of the mean loss of some examples, in one pack, and reset them."""
    pack = build_pack([example.part for example in parts], CPU)
    targets = torch.tensor([target for example in parts for target in example.targets])
    squares(of(pack), targets).mean().backward()
    found = gradients(of)
    of.zero_grad()
    return found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("epochs", 0), ("epochs", math.nan), ("learning_rate", -1e-5), ("warmup", 1.5)),
        *(("tokens_per_step", 0), ("tokens_per_pack", 0), ("weight_decay", -1), ("clip_norm", 0)),
        *(("seed", 1.0), ("lora_rank", -1), ("lora_alpha", 0), ("precision", "fp16")),
        *(("embedding_rate", -0.1), ("evaluate_every", 0), ("checkpoint_every", 0.5)),
        *(("epochs", True), ("learning_rate", "1e-5")),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(name: str, value: Any) -> None:
    """The error names the setting and its value."""
    with pytest.raises(InputError, match=rf"^{name}={value!r}; it must be"):
        Learning(**{name: value})


def test_zeros_cannot_be_kept_by_low_rank_updates() -> None:
    """They change whole matrices, so the two settings contradict each other."""
    with pytest.raises(InputError, match="keep_zeros cannot be used with lora_rank"):
        Learning(keep_zeros=True, lora_rank=4)


def test_the_rate_rises_and_falls() -> None:
    """Of ten steps two rise, to 1/2 and 1; then cos goes from 1 over 1/2 half way to almost 0."""
    learning = Learning(learning_rate=1.0, warmup=0.2)
    rates = [learning.rate(step, 10) for step in range(10)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[6] == pytest.approx(0.5)
    assert rates[9] == pytest.approx(0.5 * (1 + math.cos(math.pi * 7 / 8)))
    assert Learning(learning_rate=1.0, warmup=0).rate(0, 1) == 1.0


@trying(max_examples=30)
@given(st.lists(EXAMPLE, max_size=8))
def test_examples_are_stored_as_they_were(given_examples: list[Example]) -> None:
    """Also without a prefix, by place, from the end and in slices."""
    stored = Examples(given_examples)
    assert list(stored) == given_examples
    assert stored[1:] == given_examples[1:]
    if given_examples:
        assert stored[-1] == given_examples[-1]
    with pytest.raises(IndexError):
        stored[len(given_examples)]


def test_prompts_and_targets_must_be_as_many() -> None:
    """An example with a target too few would shift all that come behind it."""
    with pytest.raises(ValueError, match="2 prompts with 1 targets"):
        Examples([Example(Part([1], [[2], [3]]), [0.5])])


@trying(max_examples=30)
@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=30),
    st.integers(1, 3),
    st.sampled_from([0.3, 1.0, 2.0, 2.5]),
    st.integers(1, 200),
    st.integers(0, 3),
)
def test_steps_read_every_example_once_in_an_epoch(
    sizes: list[int], rounds: int, epochs: float, tokens: int, seed: int
) -> None:
    """Each epoch reads its round whole, in steps of its own; a seed repeats the order."""
    block = len(sizes)
    arguments = {"epochs": epochs, "rounds": rounds, "tokens_per_step": tokens, "seed": seed}
    steps = plan(sizes * rounds, **arguments)
    order = [place for step in steps for place in step]
    assert len(order) == max(1, round(epochs * block))
    ends = set(itertools.accumulate(map(len, steps)))
    for start in range(0, len(order), block):
        assert start in ends | {0}
        first = start // block % rounds * block
        read = order[start : start + block]
        assert len(set(read)) == len(read)
        assert set(read) <= set(range(first, first + block))
    assert all(steps)
    assert plan(sizes * rounds, **arguments) == steps
    first = max(1, round(min(epochs, 1) * block))  # a whole epoch is cut evenly
    total = sum(sizes[place % block] for place in order[:first])
    even = total / max(1, min(round(total / tokens), first))
    assert sum(sizes[place % block] for place in steps[0]) <= even + max(sizes)


def test_every_epoch_and_seed_has_an_order_of_its_own() -> None:
    """Of a hundred examples, two orders by chance are never equal."""
    orders = []
    for seed in (0, 1):
        steps = plan([1] * 100, epochs=2, rounds=1, tokens_per_step=10, seed=seed)
        order = [place for step in steps for place in step]
        orders += [tuple(order[:100]), tuple(order[100:])]
    assert len(set(orders)) == 4


@trying(max_examples=30)
@given(st.lists(EXAMPLE, min_size=1, max_size=6), st.integers(1, 40))
def test_packs_hold_every_prompt_once(given_examples: list[Example], most: int) -> None:
    """In order, with its target, and within the limit unless a single prompt is longer."""

    def prompts(parts: list[Example]) -> list[tuple[list[int], float]]:
        return [
            (part.prefix + suffix, target)
            for part, targets in parts
            for suffix, target in zip(part.suffixes, targets, strict=True)
        ]

    found = []
    for pack, targets in batches(given_examples, most, CPU):
        ends = [*pack.last_rows.tolist()]
        for segment, end, target in zip(pack.last_segments, ends, targets.tolist(), strict=True):
            prefix = pack.ids[segment.prefix_start : segment.prefix_start + segment.prefix_length]
            ids = prefix.tolist() + pack.ids[segment.own_start : end + 1].tolist()
            found.append((ids, target))
        assert len(pack.ids) <= most or len(ends) == 1
    wanted = prompts(given_examples)
    assert [ids for ids, _ in found] == [ids for ids, _ in wanted]
    assert [t for _, t in found] == pytest.approx([t for _, t in wanted])


@trying(max_examples=30)
@given(st.lists(EXAMPLE, max_size=12), st.integers(1, 4))
def test_processes_share_a_step(given_examples: list[Example], processes: int) -> None:
    """Each example goes to one of them, and none has more than the others and one example."""
    shares = [share(given_examples, rank, processes) for rank in range(processes)]
    assert sorted(repr(one) for part in shares for one in part) == sorted(map(repr, given_examples))
    loads = [sum(map(tokens_of, one)) for one in shares]
    assert max(loads) - min(loads) <= max(map(tokens_of, given_examples), default=0)


@pytest.mark.parametrize(
    "form",
    [
        *("zerank-2", "causal", "causal-auto-map", "causal-untied", "causal-both"),
        *("converted-1", "converted-5"),
    ],
)
def test_a_student_starts_with_the_scores_of_its_model(
    tiny_forms: dict[str, Path], form: str
) -> None:
    """Whatever form the folder has, also without any mark of a family."""
    ((query, documents),) = queries(1)
    found = student(tiny_forms[form])
    encoded = found.encoder.encode(query, documents, None, Limits(999))
    logits = found(build_pack([Part(encoded.prefix, encoded.suffixes)], CPU))
    with Reranker(tiny_forms[form], family="zerank-1", dtype="float32", device="cpu") as reranker:
        ranked = reranker.rank(query, documents)
    wanted = [one.logit for one in sorted(ranked, key=lambda one: one.index)]
    assert logits.tolist() == pytest.approx(wanted, abs=1e-5)


def test_a_shared_prefix_has_the_gradient_of_separate_prompts(tiny_model: Path) -> None:
    """Every parameter's, in float32, of two queries with four documents each."""
    one = student(tiny_model)
    shared = examples(one, 2)
    apart = [
        Example(Part([], [part.prefix + suffix]), [target])
        for part, targets in shared
        for suffix, target in zip(part.suffixes, targets, strict=True)
    ]
    together, alone = step_gradients(one, shared), step_gradients(one, apart)
    assert together.keys() == dict(one.named_parameters()).keys()
    for name, gradient in together.items():
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close(gradient, alone[name], rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("changed", [{}, {"lora_rank": 2}])
def test_recomputed_activations_change_no_gradient(
    tiny_model: Path, changed: dict[str, Any]
) -> None:
    """Gradient checkpointing gives the same numbers, and does recompute."""
    plain = student(tiny_model, settings(**changed))
    saving = student(tiny_model, settings(gradient_checkpointing=True, **changed))
    calls = []
    saving.backbone.layers[0].mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    parts = examples(plain, 2)
    wanted, found = step_gradients(plain, parts), step_gradients(saving, parts)
    assert len(calls) == 2
    assert wanted.keys() == found.keys()
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)


@pytest.mark.parametrize("changed", [{"tokens_per_pack": 1}, {"tokens_per_pack": 60}])
def test_packs_change_nothing(tiny_model: Path, tmp_path: Path, changed: dict[str, Any]) -> None:
    """However small, down to a prompt each: the gradient is the mean over the step's prompts."""
    found = []
    for number, more in enumerate(({}, changed)):
        one = student(tiny_model)
        learn(one, examples(one, 6), squares, settings(**more), tmp_path / str(number))
        found.append(weights(one))
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name], rtol=1e-3, atol=2e-5, msg=name)


@pytest.mark.parametrize("changed", [{}, {"lora_rank": 4}, {"precision": "bf16"}])
def test_a_student_learns(tiny_model: Path, tmp_path: Path, changed: dict[str, Any]) -> None:
    """Two queries by heart: the loss falls to a fifth."""
    learning = settings(epochs=25, learning_rate=1e-2, **changed)
    one = student(tiny_model, learning)
    parts = examples(one, 2)
    found = learn(one, parts, squares, learning, tmp_path)
    losses = [point.loss for point in found.points if point.loss is not None]
    assert losses[-1] < 0.2 * losses[0]
    assert found.steps == found.points[-1].step
    assert found.tokens == 25 * sum(map(tokens_of, parts))
    assert found.points[-1].epoch == 25


def test_low_rank_updates_leave_all_else_alone(tiny_model: Path, tmp_path: Path) -> None:
    """Frozen weights stay in bfloat16, get no float32 copy, and do not move; updates do."""
    learning = settings(lora_rank=2, precision="bf16")
    one = student(tiny_model, learning)
    before = weights(one)
    learn(one, examples(one, 6), squares, learning, tmp_path)
    assert {parameter.dtype for parameter in one.parameters()} == {torch.bfloat16}
    assert {name for name in before if "lora" in name} == set(one.masters)
    for name, value in weights(one).items():
        assert torch.equal(value, before[name]) or name in one.masters, name
    assert not any(torch.equal(value, before[name]) for name, value in one.masters.items())


def test_every_linear_layer_has_an_update(tiny_model: Path) -> None:
    """Seven in each layer of the backbone, the last one included."""
    one = student(tiny_model, settings(lora_rank=2))
    updates = [name for name, value in one.named_parameters() if value.requires_grad]
    assert len(updates) == 2 * 7 * 2
    assert all(".lora_" in name for name in updates)


@pytest.mark.parametrize("form", ["zerank-2", "causal-untied", "causal-both"])
@pytest.mark.parametrize("changed", [{}, {"lora_rank": 3, "lora_alpha": 7.0}])
def test_a_saved_student_gives_its_scores(
    tiny_forms: dict[str, Path], tmp_path: Path, form: str, changed: dict[str, Any]
) -> None:
    """By zelo and by sentence-transformers, updates merged; all in float32."""
    learning = settings(**changed)
    one = student(tiny_forms[form], learning)
    learn(one, examples(one, 4), squares, learning, tmp_path / "run")
    ((query, documents),) = queries(1)
    wanted = np.array(predict(one, examples(one, 1), learning)[0])
    one.save(tmp_path / "model")
    with Reranker(tmp_path / "model", dtype="float32", device="cpu") as reranker:
        ranked = reranker.rank(query, documents)
    ours = [found.logit for found in sorted(ranked, key=lambda found: found.index)]
    theirs = CrossEncoder(str(tmp_path / "model"), device="cpu").predict(
        [(query, document) for document in documents]
    )
    assert ours == pytest.approx(wanted, abs=1e-4)
    assert theirs == pytest.approx(wanted, abs=1e-4)


def test_a_saved_student_names_no_remote_code(tiny_forms: dict[str, Path], tmp_path: Path) -> None:
    """The folder it started from may have had some; it is neither run nor handed on."""
    student(tiny_forms["causal-auto-map"]).save(tmp_path)
    assert "auto_map" not in json.loads((tmp_path / "config.json").read_text())
    assert not list(tmp_path.glob("*.py"))
    assert not (tiny_forms["causal-auto-map"] / "REMOTE_CODE_RAN").exists()


def test_bfloat16_is_stored_as_it_computes(tiny_model: Path, tmp_path: Path) -> None:
    """A student in bfloat16 gives, saved and loaded in bfloat16, the same numbers."""
    learning = settings(precision="bf16")
    one = student(tiny_model, learning)
    learn(one, examples(one, 4), squares, learning, tmp_path / "run")
    wanted = predict(one, examples(one, 1), learning)[0]
    one.save(tmp_path / "model")
    again = student(tmp_path / "model", learning)
    assert predict(again, examples(one, 1), learning)[0] == wanted


def test_small_updates_are_not_lost_in_bfloat16(tiny_model: Path, tmp_path: Path) -> None:
    """At a rate far below bfloat16's steps the float32 weights move as those in float32 do."""
    moved = {}
    for precision in ("bf16", "float32"):
        learning = settings(precision=precision, learning_rate=1e-6, tokens_per_step=40)
        one = student(tiny_model, learning)
        name = "backbone.layers.0.mlp.up_proj.weight"
        before = weights(one)[name]
        learn(one, examples(one, 6), squares, learning, tmp_path / precision)
        moved[precision] = (one.masters[name].detach() - before).abs().mean().item()
    assert moved["bf16"] == pytest.approx(moved["float32"], rel=0.3)


def test_zeros_are_kept(tiny_model: Path, tmp_path: Path) -> None:
    """A weight that is exactly 0 stays 0, with weight decay too; without the setting it moves."""
    zeros = {}
    for keep in (True, False):
        learning = settings(keep_zeros=keep, weight_decay=0.1)
        one = student(tiny_model, learning)
        matrix = one.backbone.layers[0].mlp.up_proj.weight
        with torch.no_grad():
            matrix[:, :10] = 0
        before = matrix.detach().clone()
        learn(one, examples(one, 3), squares, learning, tmp_path / str(keep))
        assert not torch.equal(matrix[:, 10:], before[:, 10:])
        zeros[keep] = int((matrix == 0).sum())
    assert zeros == {True: 96 * 10, False: 0}


@pytest.mark.parametrize("share_of_rate", [0.0, 0.1])
def test_the_embedding_has_a_rate_of_its_own(
    tiny_model: Path, tmp_path: Path, share_of_rate: float
) -> None:
    """In one step Adam moves each weight by the rate: so the embedding by its share of it."""
    learning = settings(embedding_rate=share_of_rate, tokens_per_step=10**6, warmup=0)
    one = student(tiny_model, learning)
    before = weights(one)
    learn(one, examples(one, 3), squares, learning, tmp_path)
    moved = {name: float((now - before[name]).abs().max()) for name, now in weights(one).items()}
    assert moved.pop("backbone.embed_tokens.weight") == pytest.approx(
        share_of_rate * 1e-3, rel=0.01
    )
    assert max(moved.values()) == pytest.approx(1e-3, rel=0.01)


def test_gradients_come_together_in_float32(tiny_model: Path) -> None:
    """Of two backward passes in bfloat16 the masters hold the sum, the model's weights nothing."""
    learning = settings(precision="bf16")
    one = student(tiny_model, learning)
    wanted = [step_gradients(one, [example]) for example in examples(one, 2)]
    weights_of_one = Weights(one, learning)
    for example in examples(one, 2):
        assert step_gradients(one, [example]) == {}
    for name, master in one.masters.items():
        assert master.grad is not None
        assert master.grad.dtype == torch.float32
        assert torch.equal(master.grad, wanted[0][name].float() + wanted[1][name].float())
    weights_of_one.release()


def test_decay_is_of_matrices_alone(tiny_model: Path, tmp_path: Path) -> None:
    """Without a gradient a step shrinks them by rate times decay, and nothing else moves."""
    learning = settings(weight_decay=0.5, learning_rate=0.1, warmup=0, tokens_per_step=10**6)
    one = student(tiny_model, learning)
    before = weights(one)
    learn(one, examples(one, 2), lambda logits, _: logits * 0, learning, tmp_path)
    for name, value in weights(one).items():
        matrix = value.ndim > 1 and "embed" not in name
        torch.testing.assert_close(value, before[name] * (0.95 if matrix else 1), msg=name)


def test_gradients_are_clipped(tiny_model: Path, tmp_path: Path) -> None:
    """Clipped to far below what Adam adds to its divisor, they move next to nothing."""
    learning = settings(clip_norm=1e-13)
    one = student(tiny_model, learning)
    before = weights(one)
    learn(one, examples(one, 3), squares, learning, tmp_path)
    assert max(float((now - before[n]).abs().max()) for n, now in weights(one).items()) < 1e-6
