"""What is written for each engine: what the engine's code reads, the command, the doctor's probes.

sentence-transformers is run itself. For the others, stand-ins do what the engine's code does with
an exported folder, by transformers' tokenizer and classifier; `test_export_vllm` runs vLLM.
"""

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import exporting_kit as kit
import mistakes
import pytest
import tiny
from fastapi import FastAPI, Request
from safetensors.torch import load_file
from typer.testing import CliRunner

from zelo import Reranker
from zelo.cli import app
from zelo.errors import InputError, UnsupportedModelError
from zelo.export import Export, export
from zelo.export.engines import ENGINES
from zelo.export.engines.refused import REFUSED

SERVED = ("vllm", "sglang", "baseten")


@pytest.fixture(scope="module")
def exports(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Export]:
    """One model exported for every engine that takes Hugging Face's files."""
    root = tmp_path_factory.mktemp("exports")
    names = (*SERVED, "sentence-transformers")
    return {name: export(tiny_model, root / f"tiny-{name}", name) for name in names}


@pytest.mark.parametrize("family", ["zerank-2", "qwen3-reranker", "lower-cased"])
def test_cross_encoder_predicts_the_probabilities(family, tmp_path):
    """sentence-transformers itself gives them, with its own sigmoid, for texts that lead astray."""
    from sentence_transformers import CrossEncoder

    if family == "lower-cased":
        model = kit.save_lower_cased(tmp_path / "model")
    else:
        model = tiny.save_sentence_transformers(tmp_path / "model", family)
    folder = export(model, tmp_path / "out", "sentence-transformers", probes=False).folder
    encoder = CrossEncoder(str(folder), model_kwargs={"dtype": "float32"}, device="cpu")
    pairs = [list(pair) for pair in kit.TEXTS]
    found = encoder.predict(pairs, show_progress_bar=False)
    assert found == pytest.approx(kit.probabilities(model, kit.TEXTS, None), abs=1e-5)
    if family != "lower-cased":
        found = encoder.predict(pairs, prompt="Prefer stone", show_progress_bar=False)
        wanted = kit.probabilities(model, kit.TEXTS, None, "Prefer stone")
        assert found == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("engine", SERVED)
def test_the_configuration_is_what_engines_read(exports, engine):
    """One label with a name, a padding token, a sigmoid said in words, and nothing against it."""
    folder = exports[engine].folder
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    padding = tiny.token_id("<|endoftext|>")
    assert config["architectures"] == ["Qwen3ForSequenceClassification"]
    assert (config["num_labels"], config["id2label"]) == (1, {"0": "relevant"})
    assert config["pad_token_id"] == padding
    assert config["sentence_transformers"]["activation_fn"].endswith(".Sigmoid")
    assert "problem_type" not in config
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == 1e6
    assert config["dtype"] == config["torch_dtype"] == "float32"
    assert "auto_map" not in config
    tokenizer = kit.ClassifierOfTransformers(folder).tokenizer
    assert tokenizer.pad_token_id == padding


def test_the_score_row_is_divided_and_float32(tmp_path):
    """A backbone in bfloat16 keeps it in float32, divided by the family's scale."""
    model = tiny.save_sentence_transformers(tmp_path / "model")
    folder = export(model, tmp_path / "out", "vllm", dtype="bfloat16", probes=False).folder
    tensors = load_file(folder / "model.safetensors")
    row = tiny.weights()["model.embed_tokens.weight"][tiny.token_id("Yes")]
    assert tensors["score.weight"].tolist() == [(row / 5).tolist()]
    assert {str(t.dtype) for n, t in tensors.items() if n != "score.weight"} == {"torch.bfloat16"}


def test_sglang_gets_a_bias_of_zero(exports):
    """SGLang's head has a bias, which stays random where a checkpoint has none."""
    written = load_file(exports["sglang"].folder / "model.safetensors")
    assert written["score.bias"].tolist() == [0.0]
    assert "score.bias" not in load_file(exports["vllm"].folder / "model.safetensors")


def test_vllm_is_told_all_that_is_mandatory(exports):
    """The command names the template, the number type and the length; each flag has a reason."""
    found = exports["vllm"]
    assert found.serving is not None
    words = shlex.split(found.serving.command)
    assert words[:3] == ["vllm", "serve", str(found.folder)]
    told = dict(zip(words[3::2], words[4::2], strict=True))
    assert told["--runner"] == "pooling"
    assert Path(told["--chat-template"]).read_text(encoding="utf-8").startswith("{%-")
    assert told["--dtype"] == "float32"
    assert told["--max-model-len"] == "32768"
    assert told["--host"] == "127.0.0.1"
    assert all(flag.reason for flag in found.serving.flags)


def test_vllm_passes_on_what_the_template_reads(exports):
    """vLLM hands a template only the variables that it reads and does not set itself."""
    import jinja2
    from jinja2 import meta

    text = (exports["vllm"].folder / "score_template.jinja").read_text(encoding="utf-8")
    found = meta.find_undeclared_variables(jinja2.Environment(autoescape=True).parse(text))
    assert found == {"messages", "instruction"}


def test_a_template_ends_with_the_header_unasked(exports):
    """vLLM renders score templates without add_generation_prompt."""
    classifier = kit.ClassifierOfTransformers(exports["vllm"].folder)
    for asked in ({}, {"add_generation_prompt": False}, {"add_generation_prompt": True}):
        assert classifier.templated("a", "b", **asked) == classifier.templated("a", "b")
    header = [tiny.token_id("<|im_start|>"), *_ids("assistant\n")]
    assert classifier.templated("a", "b")[-len(header) :] == header


def _ids(text: str) -> list[int]:
    from tokenizers import Tokenizer

    found: list[int] = Tokenizer.from_str(tiny.tokenizer_json()).encode(text).ids
    return found


def test_a_template_refuses_an_instruction_that_means_nothing(tmp_path):
    """A family without instructions does not pass over one in silence."""
    import jinja2

    model = tiny.save_causal(tmp_path / "model", auto_map=True)
    folder = export(model, tmp_path / "out", "vllm", probes=False).folder
    classifier = kit.ClassifierOfTransformers(folder)
    with pytest.raises(jinja2.exceptions.TemplateError, match="takes no instruction"):
        classifier.templated("a", "b", instruction="Prefer stone")


def test_baseten_gets_a_configuration_of_its_engine(exports):
    """config.yaml names the engine, the route and no quantisation, and says what to fill in."""
    text = (exports["baseten"].folder / "truss" / "config.yaml").read_text(encoding="utf-8")
    for line in (
        "    base_model: encoder",
        "    quantization_type: no_quant  # fp8 changes scores",
        "    webserver_default_route: /predict",
        "      repo: YOUR-ORGANISATION/tiny-baseten",
    ):
        assert line in text.splitlines()


def test_qwen3_reranker_cannot_be_exported_for_sglang(tmp_path):
    """Its prompt cannot be written around a pair, and SGLang serves the original by itself."""
    model = tiny.save_sentence_transformers(tmp_path / "model", "qwen3-reranker")
    with pytest.raises(UnsupportedModelError, match=r"qwen3_reranker\.jinja"):
        export(model, tmp_path / "out", "sglang")
    assert not list(tmp_path.glob("*out*"))


@pytest.mark.parametrize("engine", REFUSED)
def test_an_engine_that_serves_wrongly_is_refused_with_the_reason(engine, tmp_path):
    """The name is understood; the answer says why not, and what to use."""
    with pytest.raises(UnsupportedModelError, match="Use --for") as error:
        export("zelo-nano", tmp_path / "out", engine)
    assert engine in str(error.value)
    assert not (tmp_path / "out").exists()


def test_an_unknown_engine_is_an_input_error(tmp_path):
    """Those that are known are listed."""
    with pytest.raises(InputError, match="vllm, sglang, baseten, sentence-transformers"):
        export("zelo-nano", tmp_path / "out", "trtllm")


def test_every_engine_says_what_nobody_has_seen(exports):
    """What could not be run against the engine itself is unproven, in JSON and README too."""
    assert set(exports) | {"llama.cpp"} == set(ENGINES)
    for name, found in exports.items():
        assert bool(found.unproven) == (name != "sentence-transformers")
        told = json.loads((found.folder / "zelo-export.json").read_text(encoding="utf-8"))
        page = (found.folder / "README.md").read_text(encoding="utf-8")
        assert page.count("**unproven**") == len(found.unproven)
        assert sum(not one["proven"] for one in told["statements"]) == len(found.unproven)
        assert found.usage in page


@contextmanager
def standing_in(found: Export) -> Iterator[str]:
    """Serve an export as its engine's code does, and give the address."""
    classifier = kit.ClassifierOfTransformers(found.folder)

    def logit(ids: list[int]) -> float:
        return classifier.logits([ids])[0]

    def of_vllm(query: str, documents: Any) -> list[float]:
        return [kit.sigmoid(logit(classifier.templated(query, d))) for d in documents]

    server = FastAPI()

    @server.post("/v1/rerank")
    async def rerank(request: Request) -> Any:
        asked = await request.json()
        scores = [logit(classifier.paired(asked["query"], d)) for d in asked["documents"]]
        best = sorted(range(len(scores)), key=lambda i: -scores[i])
        return [{"score": scores[i], "index": i, "meta_info": {}} for i in best]

    @server.post("/environments/production/sync/predict")
    async def predict(request: Request) -> Any:
        asked = await request.json()
        assert asked["raw_scores"]
        ids = [classifier.tokenizer(prompt)["input_ids"] for (prompt,) in asked["inputs"]]
        return [[{"label": "relevant", "score": logit(one)}] for one in ids]

    stand_in = (
        mistakes.serving(of_vllm, "vllm") if found.engine == "vllm" else mistakes.running(server)
    )
    with stand_in as address:
        yield address + ("/environments/production/sync" if found.engine == "baseten" else "")


@pytest.mark.parametrize("engine", SERVED)
def test_the_doctor_approves_by_the_printed_command(exports, engine):
    """Only the address is another; the probes beside the export are all that it compares with."""
    found = exports[engine]
    words = shlex.split(found.check)
    assert found.serving is not None
    with standing_in(found) as address:
        words[words.index(found.serving.url)] = address
        given = [*words[1:], "--longest-document", "0", "--json"]
        result = CliRunner().invoke(app, given)
    report = json.loads(result.stdout)
    assert (result.exit_code, report["verdict"]) == (0, "correct"), result.output
    checks = {check["name"]: check["outcome"] for check in report["checks"]}
    assert checks["control tokens"] == ("unknown" if engine == "baseten" else "ok")


def test_the_doctor_sees_another_model_by_the_probes(exports, tmp_path):
    """A server of other weights is not taken for the export."""
    other = tiny.save_causal(tmp_path / "other", tied=False)
    served = export(other, tmp_path / "served", "vllm", family="zerank-2", probes=False)
    words = shlex.split(exports["vllm"].check)
    with standing_in(served) as address:
        words[words.index("http://127.0.0.1:8000")] = address
        result = CliRunner().invoke(app, [*words[1:], "--longest-document", "0"])
    assert result.exit_code == 1


@pytest.mark.parametrize("engine", SERVED)
def test_the_printed_client_scores_as_here(exports, engine, tiny_model):
    """The line of Python says what the scores are; then they are those of the model here."""
    documents = ["the water is cold", "three bridges | im_end"]
    found = exports[engine]
    assert found.serving is not None
    with standing_in(found) as address, Reranker(tiny_model, dtype="float32") as local:
        line = found.client.replace(found.serving.url, address)
        remote = eval(line, {"Reranker": Reranker})  # noqa: S307 - our own line
        with remote:
            scores = remote.score("the river", documents)
        assert scores == pytest.approx(local.score("the river", documents), abs=1e-5)


def test_the_printed_client_of_a_model_without_a_divisor_scores_as_here(tiny_forms, tmp_path):
    """BEI's raw score of Qwen3-Reranker is the logit itself, not a fifth of it."""
    model = tiny_forms["qwen3-reranker"]
    found = export(model, tmp_path / "out", "baseten", probes=False)
    assert found.serving is not None
    with standing_in(found) as address, Reranker(model, dtype="float32") as local:
        line = found.client.replace(found.serving.url, address)
        with eval(line, {"Reranker": Reranker}) as remote:  # noqa: S307 - our own line
            scores = remote.score("the river", ["the water is cold"], scale="logit")
        wanted = local.score("the river", ["the water is cold"], scale="logit")
    assert scores == pytest.approx(wanted, abs=1e-4)


def test_probes_are_the_scores_of_the_model(exports, tiny_model):
    """Computed a layer at a time, they are what the reranker gives."""
    path = exports["vllm"].folder / "zelo-probes.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    assert told["family"] == "zerank-2"
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        for pair in told["pairs"]:
            (score,) = reranker.score(pair["query"], [pair["document"]])
            assert pair["score"] == pytest.approx(score, abs=1e-5)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"pairs": [], "family": "zerank-2", "model": "m", "source": "s"}']
)
def test_a_file_that_tells_no_scores_is_a_usage_error(content, tmp_path):
    """`zelo doctor --known` says what it wants."""
    path = tmp_path / "known.json"
    path.write_text(content, encoding="utf-8")
    given = ["doctor", "--base-url", "http://127.0.0.1:9", "--model", "m", "--known", str(path)]
    result = CliRunner().invoke(app, given, env={"COLUMNS": "200"})
    assert result.exit_code == 2, result.output
