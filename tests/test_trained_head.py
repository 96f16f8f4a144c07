"""A classifier's head that was trained further: refused unless said, then scored with as it is."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from framework_kit import LangChainRerank, LlamaIndexRerank
from safetensors.torch import load_file
from sentence_transformers import CrossEncoder
from typer.testing import CliRunner

from zelo import InputError, Reranker, UnsupportedModelError
from zelo.bulk.identity import options_that_count
from zelo.cli import app
from zelo.export import export
from zelo.server import ServedModel
from zelo.training.learning.settings import Learning
from zelo.training.learning.student import load_student

PAIRS = [
    ("how is the water of the river", "The river runs down from the hills to the sea."),
    ("how do I open a file", "call the function open() and its method read()"),
    ("which bridge is the oldest", "the oldest was built of stone"),
]
HERE: dict[str, Any] = {"device": "cpu", "dtype": "float32"}


@pytest.fixture(scope="module")
def tuned(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier after 20 steps of AdamW, as sentence-transformers saves it."""
    root = tmp_path_factory.mktemp("tuned")
    start = export(tiny_model, root / "start", "sentence-transformers", probes=False).folder
    model = CrossEncoder(str(start), device="cpu", model_kwargs={"dtype": "float32"})
    steps = torch.optim.AdamW(model.parameters(), lr=1e-3)
    features = model.preprocess([list(pair) for pair in PAIRS])
    loss_of = torch.nn.BCEWithLogitsLoss()
    for _ in range(20):
        loss_of(model(dict(features))["scores"][:, 0], torch.tensor([1.0, 0.0, 1.0])).backward()
        steps.step()
        steps.zero_grad()
    model.save_pretrained(str(root / "model"))
    return root / "model"


def test_it_is_refused_by_default_with_what_to_say(tuned: Path) -> None:
    """Nothing tells it from a random head; the message names the option."""
    with (
        pytest.raises(UnsupportedModelError, match=r"random.* head='trained'"),
        Reranker(tuned, **HERE) as reranker,
    ):
        reranker.warmup()


def test_its_scores_are_those_of_the_cross_encoder(tuned: Path) -> None:
    """The logit is predict()'s raw output, the probability what predict() answers by default."""
    official = CrossEncoder(str(tuned), device="cpu", model_kwargs={"dtype": "float32"})
    raw = official.predict(PAIRS, activation_fn=torch.nn.Identity(), show_progress_bar=False)
    with Reranker(tuned, head="trained", **HERE) as reranker:
        assert reranker.predict(PAIRS, scale="logit") == pytest.approx(raw, abs=1e-4)
        found = reranker.predict(PAIRS)
    assert found == pytest.approx(official.predict(PAIRS, show_progress_bar=False), abs=1e-5)


def test_it_needs_a_family(tuned: Path, tmp_path: Path) -> None:
    """A trained row does not tell which prompt it reads, so the folder or the caller has to."""
    folder = tiny.save_converted(tmp_path / "model", divisor=5)
    tensors = load_file(folder / "model.safetensors")
    tensors["score.weight"] = load_file(tuned / "model.safetensors")["score.weight"]
    tiny.save_tensors(folder / "model.safetensors", tensors)
    with (
        pytest.raises(UnsupportedModelError, match="family="),
        Reranker(folder, head="trained", **HERE) as reranker,
    ):
        reranker.warmup()
    with Reranker(folder, family="zerank-1", head="trained", **HERE) as reranker:
        reranker.warmup()


def test_only_a_classifier_has_one(tiny_model: Path) -> None:
    """A model that answers with its vocabulary has no other row, and no server is told to read."""
    with (
        pytest.raises(InputError, match="answers with its vocabulary"),
        Reranker(tiny_model, head="trained", **HERE) as reranker,
    ):
        reranker.warmup()
    with pytest.raises(InputError, match="head="):
        Reranker("m", head="trained", base_url="http://127.0.0.1:9")
    with pytest.raises(InputError, match="head='vocabulary'"):
        Reranker(tiny_model, head="vocabulary")  # type: ignore[arg-type]


def test_another_activation_is_refused(tuned: Path, tmp_path: Path) -> None:
    """What is no sigmoid of the output is no probability that zelo could give."""
    folder = tmp_path / "model"
    folder.mkdir()
    for path in tuned.iterdir():
        (folder / path.name).symlink_to(path)
    told = json.loads((tuned / "config_sentence_transformers.json").read_text(encoding="utf-8"))
    (folder / "config_sentence_transformers.json").unlink()
    told["activation_fn"] = "torch.nn.modules.activation.Tanh"
    tiny.write_json(folder / "config_sentence_transformers.json", told)
    with (
        pytest.raises(UnsupportedModelError, match="Tanh"),
        Reranker(folder, head="trained", **HERE) as reranker,
    ):
        reranker.warmup()


def test_rerankers_with_other_heads_share_nothing(tiny_forms: dict[str, Path]) -> None:
    """One classifier read in both ways gives both scales at once, and two works in bulk."""
    folder = tiny_forms["converted-5"]
    with (
        Reranker(folder, family="zerank-2", **HERE) as usual,
        Reranker(folder, family="zerank-2", head="trained", **HERE) as trained,
    ):
        logits = usual.predict(PAIRS, scale="logit")
        fifths = trained.predict(PAIRS, scale="logit")
        assert [5 * x for x in fifths] == pytest.approx(logits, abs=1e-5)
        assert trained.predict(PAIRS) == pytest.approx(usual.predict(PAIRS), abs=1e-6)
        again = Reranker(**trained.settings)
        assert again.settings == trained.settings != usual.settings
    assert options_that_count(again.settings) != options_that_count(usual.settings)


@pytest.mark.parametrize("adapter", [LangChainRerank, LlamaIndexRerank])
def test_adapters_take_it(adapter: Any, tuned: Path) -> None:
    """The option reaches the reranker, and both tell it."""
    made = adapter(model=str(tuned), head="trained", device="cpu")
    assert (made.head, made.reranker.settings["head"]) == ("trained", "trained")


def test_a_server_tells_its_scale(tuned: Path) -> None:
    """What a client divides a logit by is 1, whatever the family has."""
    served = ServedModel(Reranker(tuned, head="trained", **HERE))
    served.load()
    assert (served.family, served.scale) == ("zerank-2", 1.0)
    served.close()


def test_the_command_line_takes_it(tuned: Path, tmp_path: Path) -> None:
    """`zelo rerank` scores with it, and `zelo doctor` compares it with sentence-transformers."""
    documents = tmp_path / "documents.txt"
    documents.write_text("\n".join(document for _, document in PAIRS), encoding="utf-8")
    model = ["--model", str(tuned), "--head", "trained", "--device", "cpu"]
    given = ["rerank", "the river", "--documents", str(documents), "--json", *model]
    ranked = CliRunner().invoke(app, given)
    assert ranked.exit_code == 0, ranked.output
    examined = CliRunner().invoke(app, ["doctor", "--longest-document", "0", "--json", *model])
    report = json.loads(examined.stdout)
    assert report["verdict"] == "correct", examined.output
    assert "by sentence-transformers" in report["reference"]


def test_it_is_neither_exported_nor_trained_here(tuned: Path, tmp_path: Path) -> None:
    """An export and a student have the family's row and scale, which are not the trained head's."""
    with pytest.raises(UnsupportedModelError, match="random"):
        export(tuned, tmp_path / "out", "vllm")
    with pytest.raises(UnsupportedModelError, match="random"):
        load_student(str(tuned), Learning())
