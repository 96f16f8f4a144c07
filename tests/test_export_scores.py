"""Exports score as zelo does: transformers' own classifier, on prompts of the exported files."""

from pathlib import Path

import exporting_kit as kit
import pytest
import tiny

from zelo import Reranker
from zelo.bulk.plan.frames import frame_of
from zelo.bulk.plan.models import shape_of
from zelo.errors import ModelError, ModelFileError, UnsupportedModelError
from zelo.export import export
from zelo.scoring.catalog import resolve

WITHIN = 1e-5
MODELS = {
    "zerank-2": None,
    "causal-auto-map": None,  # zerank-1
    "causal": "zerank-1",
    "causal-untied": "zerank-2",
    "causal-both": "zerank-2",
    "converted-1": None,
    "converted-5": None,
    "converted-yes-no": None,  # qwen3-reranker
    "qwen3-reranker": None,
    "lower-cased": None,
    "zelo-nano": None,
}
"""What is exported, with the family where its folder does not tell."""


@pytest.fixture(scope="module")
def models(tiny_forms: dict[str, Path], tmp_path_factory: pytest.TempPathFactory):
    """Folders of all models, by the name of what is special of them."""
    nano = resolve("zelo-nano").folder
    lower = kit.save_lower_cased(tmp_path_factory.mktemp("models") / "lower-cased")
    return tiny_forms | {"zelo-nano": nano, "lower-cased": lower}


@pytest.mark.parametrize("name", MODELS)
def test_a_templated_export_gives_the_probabilities(models, name, tmp_path):
    """sigmoid(logit) is the probability within 1e-5, for texts that lead astray, in one batch."""
    folder = export(models[name], tmp_path / "out", "vllm", family=MODELS[name], probes=False)
    classifier = kit.ClassifierOfTransformers(folder.folder)
    logits = classifier.logits([classifier.templated(q, d) for q, d in kit.TEXTS])
    wanted = kit.probabilities(models[name], kit.TEXTS, MODELS[name])
    assert [kit.sigmoid(x) for x in logits] == pytest.approx(wanted, abs=WITHIN)


def test_the_probabilities_are_those_of_the_reranker(models, tmp_path):
    """What a user of `zelo.Reranker` gets is what the export gives, texts that are blank aside."""
    folder = export(models["zerank-2"], tmp_path / "out", "vllm", probes=False).folder
    classifier = kit.ClassifierOfTransformers(folder)
    asked = [(q, d) for q, d in kit.TEXTS if q.strip() and d.strip()]
    logits = classifier.logits([classifier.templated(q, d) for q, d in asked])
    with Reranker(models["zerank-2"], dtype="float32", device="cpu") as reranker:
        wanted = [reranker.score(q, [d])[0] for q, d in asked]
    assert [kit.sigmoid(x) for x in logits] == pytest.approx(wanted, abs=WITHIN)


@pytest.mark.parametrize("name", ["zerank-2", "causal-untied", "qwen3-reranker", "lower-cased"])
@pytest.mark.parametrize("engine", ["sentence-transformers", "vllm", "baseten"])
def test_an_export_is_a_model_folder_too(models, name, engine, tmp_path):
    """An export that keeps the prompt's control tokens scores here as the model it was made of."""
    family = MODELS[name]
    asked = [(q, d) for q, d in kit.TEXTS if q.strip() and d.strip()]
    folder = export(models[name], tmp_path / "out", engine, family=family, probes=False).folder
    here = {"device": "cpu", "dtype": "float32"}
    with Reranker(models[name], family=family, **here) as model, Reranker(folder, **here) as made:
        wanted = model.predict(asked, scale="logit")
        assert made.predict(asked, scale="logit") == pytest.approx(wanted, abs=WITHIN)


def test_an_export_is_no_model_of_another_family(models, tmp_path):
    """What it notes of its score row says nothing of a family with other answers."""
    export(models["causal-untied"], tmp_path / "out", "vllm", family="zerank-2", probes=False)
    with (
        pytest.raises(UnsupportedModelError, match="name the right family"),
        Reranker(tmp_path / "out", family="qwen3-reranker", device="cpu") as reranker,
    ):
        reranker.warmup()


@pytest.mark.parametrize("engine", ["sglang", "llama.cpp"])
def test_an_export_for_another_way_of_writing_prompts_says_so(models, engine, tmp_path):
    """What an engine alone can read is refused with the engine's name and the model to load."""
    folder = export(models["zerank-2"], tmp_path / "out", engine, probes=False).folder
    with (
        pytest.raises(UnsupportedModelError, match=f"export for {engine}.*{models['zerank-2']}"),
        Reranker(folder) as reranker,
    ):
        reranker.warmup()


def test_an_export_that_was_saved_again_is_a_model_folder(models, tmp_path):
    """What sentence-transformers writes of one, modules.json with a Transformer alone, is read."""
    from sentence_transformers import CrossEncoder

    export(models["causal-untied"], tmp_path / "out", "sentence-transformers", family="zerank-2")
    again = tmp_path / "again"
    encoder = CrossEncoder(str(tmp_path / "out"), device="cpu")
    encoder.save_pretrained(str(again))
    shapes = shape_of(str(again)), shape_of(str(models["causal-untied"]), "zerank-2")
    assert len({frame_of(shape, instructed=True) for shape in shapes}) == 1
    pairs = kit.TEXTS[3:6]
    with Reranker(again, device="cpu", dtype="float32") as reranker:
        found = reranker.predict(pairs)
    assert found == pytest.approx(encoder.predict(pairs, show_progress_bar=False), abs=WITHIN)


@pytest.mark.parametrize("name", ["zerank-2", "qwen3-reranker"])
@pytest.mark.parametrize("way", ["instruction", "system"])
def test_an_instruction_goes_where_the_model_reads_it(models, name, way, tmp_path):
    """As a variable, which vLLM passes on, and as a system message of sentence-transformers."""
    folder = export(models[name], tmp_path / "out", "vllm", probes=False).folder
    classifier = kit.ClassifierOfTransformers(folder)
    said, texts = "Prefer 'bridges' {of} stone?\n", kit.TEXTS[:4]
    if way == "system":
        classifier.template = classifier.template.replace(
            "{%- set query", f"{{%- set messages = messages + {_system(said)} -%}}{{%- set query", 1
        )
        prompts = [classifier.templated(q, d) for q, d in texts]
    else:
        prompts = [classifier.templated(q, d, instruction=said) for q, d in texts]
    wanted = kit.probabilities(models[name], texts, None, said)
    assert wanted != pytest.approx(kit.probabilities(models[name], texts, None), abs=1e-3)
    found = [kit.sigmoid(x) for x in classifier.logits(prompts)]
    assert found == pytest.approx(wanted, abs=WITHIN)


@pytest.mark.parametrize("name", ["zerank-2", "causal-auto-map", "qwen3-reranker"])
def test_a_blank_instruction_is_none(models, name, tmp_path):
    """The prompt is the same to the token, for families that take none too."""
    folder = export(models[name], tmp_path / "out", "vllm", probes=False).folder
    classifier = kit.ClassifierOfTransformers(folder)
    assert classifier.templated("a", "b", instruction=" \n") == classifier.templated("a", "b")


def _system(text: str) -> str:
    return f'[{{"role": "system", "content": {text!r}}}]'


@pytest.mark.parametrize("name", ["zerank-2", "causal-auto-map", "lower-cased", "zelo-nano"])
def test_a_paired_export_gives_the_probabilities(models, name, tmp_path):
    """The tokenizer writes the frame by itself; only empty texts, which are refused, are not so."""
    folder = export(models[name], tmp_path / "out", "sglang", probes=False).folder
    classifier = kit.ClassifierOfTransformers(folder)
    asked = [(q, d) for q, d in kit.TEXTS if q and d]
    logits = classifier.logits([classifier.paired(q, d) for q, d in asked])
    wanted = kit.probabilities(models[name], asked, None)
    assert [kit.sigmoid(x) for x in logits] == pytest.approx(wanted, abs=WITHIN)


def test_cutting_a_pair_keeps_the_frame(models, tmp_path):
    """An engine that cuts the pair cuts the document, and the score is still read at the end."""
    folder = export(models["zerank-2"], tmp_path / "out", "sglang", probes=False).folder
    tokenizer = kit.ClassifierOfTransformers(folder).tokenizer
    whole = tokenizer(text="a query", text_pair="the river " * 500)["input_ids"]
    cut = tokenizer(
        text="a query", text_pair="the river " * 500, truncation="only_second", max_length=64
    )["input_ids"]
    assert len(cut) == 64
    assert cut[-5:] == whole[-5:]
    assert cut[:20] == whole[:20]


@pytest.mark.parametrize("engine", ["vllm", "sglang", "baseten", "sentence-transformers"])
def test_an_untied_converted_model_without_a_projection_is_refused(engine, tmp_path):
    """Nothing is left to tell its score row from a random one, so nothing is written."""
    model = tiny.save_converted(tmp_path / "model")
    tiny.edit_json(model / "config.json", tie_word_embeddings=False)
    weights = tiny.weights(tied=False)
    row = weights.pop("lm_head.weight")[tiny.token_id("Yes")]
    tiny.save_tensors(model / "model.safetensors", weights | {"score.weight": row[None].clone()})
    with pytest.raises(ModelError) as error:
        export(model, tmp_path / "out", engine)
    assert isinstance(error.value, UnsupportedModelError | ModelFileError)
    assert not (tmp_path / "out").exists()
