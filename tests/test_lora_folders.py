"""Folders of a LoRA adapter alone: read as the model that peft's merge_and_unload makes of them.

peft is the real counterpart: it makes the adapters, and it merges them for the comparison.
"""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import exporting_kit as kit
import pytest
import tiny
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import Qwen3ForCausalLM

from zelo import MissingExtraError, ModelError, Reranker, UnsupportedModelError
from zelo.bulk.identity import identity_of_model
from zelo.doctor import Examination, examine
from zelo.evaluation.rerankers import Pointwise
from zelo.export import export
from zelo.local.loading.checkpoint import inspect_checkpoint
from zelo.local.loading.tensors import backbone_tensors
from zelo.local.model import empty_backbone, load_backbone
from zelo.training.pipeline.content import Contents

# peft asks transformers by a name that is going to be another
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")

QUERY = "how to read a file"
DOCUMENTS = ["The river runs to the sea.", "Open a file with open().", "Three old bridges."]
EVERYTHING = [f"{name}_proj" for name in ("q", "k", "v", "o", "gate", "up", "down")]


def save_adapter(folder: Path, base: Path | str, **settings: Any) -> Path:
    """Write an adapter of random updates, as a training script's save_pretrained does."""
    named = {"r": 4, "lora_alpha": 16, "task_type": "CAUSAL_LM", "target_modules": EVERYTHING}
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = get_peft_model(
            Qwen3ForCausalLM.from_pretrained(base, dtype=torch.float32),
            LoraConfig(**named | settings),
        )
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data += 0.05 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    return folder


def merge(adapter: Path, base: Path) -> Any:
    """Return the causal model that peft makes of an adapter and its model."""
    whole = Qwen3ForCausalLM.from_pretrained(base, dtype=torch.float32)
    return PeftModel.from_pretrained(whole, adapter).merge_and_unload()


def save_merged(folder: Path, adapter: Path, base: Path) -> Path:
    """Write what peft merges as a folder of the base's form."""
    shutil.copytree(base, folder)
    merge(adapter, base).save_pretrained(folder)
    shutil.copy(base / "config.json", folder)
    return folder


def copy_prompt(whole: Path, adapter: Path) -> None:
    """Put beside an adapter all that sentence-transformers saves but the model itself."""
    for path in whole.iterdir():
        if path.is_dir():
            shutil.copytree(path, adapter / path.name)
        elif path.name not in ("model.safetensors", "config.json"):
            shutil.copy(path, adapter)


def scores(folder: Path, **options: Any) -> list[float]:
    """Return the raw logits that the reranker gives."""
    with Reranker(folder, device="cpu", dtype="float32", **options) as reranker:
        return reranker.score(QUERY, DOCUMENTS, scale="logit")


@pytest.fixture(scope="module")
def base(tiny_model: Path) -> Path:
    """The model that adapters change."""
    return tiny_model


@pytest.fixture(scope="module")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of every projection; tests must not change it."""
    return save_adapter(tmp_path_factory.mktemp("lora") / "adapter", base)


@pytest.fixture(scope="module")
def merged(adapter: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as one model."""
    return save_merged(tmp_path_factory.mktemp("lora") / "merged", adapter, base)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_dora": True, "target_modules": ["q_proj", "down_proj"]},
        {
            "use_rslora": True,
            "rank_pattern": {"q_proj": 2},
            "alpha_pattern": {"layers.1.mlp.up_proj": 64},
        },
    ],
    ids=["plain", "dora", "patterns"],
)
def test_the_layers_are_those_that_peft_merges(
    settings: dict[str, Any], base: Path, tmp_path: Path
) -> None:
    """To the bit in float32, and the same whenever one is read."""
    folder = save_adapter(tmp_path / "adapter", base, **settings)
    wanted = merge(folder, base).model.state_dict()
    files = inspect_checkpoint(folder).files
    found = load_backbone(files, torch.device("cpu"), torch.float32).state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    tensors = backbone_tensors(files, empty_backbone(files))
    name = "layers.1.mlp.down_proj.weight"
    assert not torch.equal(wanted[name], tiny.weights()[f"model.{name}"])
    for _ in range(2):
        assert torch.equal(tensors[f"model.{name}"].tensor(), wanted[name])
        pieces = torch.cat([*tensors[f"model.{name}"].numbers()])
        assert torch.equal(pieces.reshape(wanted[name].shape), wanted[name])


@pytest.mark.parametrize("quantization", [None, "int8-weights"])
def test_an_adapter_scores_as_the_merged_model(
    quantization: Any, adapter: Path, merged: Path, base: Path
) -> None:
    """Also quantised, which happens after the merge; the reranker names adapter and base."""
    found = scores(adapter, quantization=quantization)
    assert found == scores(merged, quantization=quantization)
    assert found != pytest.approx(scores(base, quantization=quantization), abs=0.1)
    with Reranker(adapter, device="cpu", dtype="float32") as reranker:
        reranker.warmup()
        assert f"{adapter} merged into {base} (float32 on cpu)" in repr(reranker)


def test_exports_and_the_doctor_take_the_merged_layers(
    adapter: Path, merged: Path, tmp_path: Path
) -> None:
    """An export of an adapter scores as one of the merged model, and so does the reference."""
    folder = export(adapter, tmp_path / "out", "vllm", probes=False).folder
    classifier = kit.ClassifierOfTransformers(folder)
    logits = classifier.logits([classifier.templated(q, d) for q, d in kit.TEXTS])
    wanted = kit.probabilities(merged, kit.TEXTS, None)
    assert [kit.sigmoid(x) for x in logits] == pytest.approx(wanted, abs=1e-5)
    assert kit.probabilities(adapter, kit.TEXTS, None) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    "witness", ["transformers", "sentence-transformers"], ids=["alone", "with the base's files"]
)
def test_another_program_reads_the_same(
    witness: str, adapter: Path, base: Path, tmp_path: Path
) -> None:
    """What transformers, or CrossEncoder, makes of an adapter and its model is what zelo scores."""
    folder = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    if witness == "sentence-transformers":  # whose recipes save the prompt beside the adapter
        copy_prompt(base, folder)
    report = examine(Examination(model=str(folder), device="cpu"))
    assert report.verdict == "correct", report.error
    assert f"by {witness} " in str(report.reference)


def test_a_relative_path_is_meant_from_the_adapter(
    adapter: Path, base: Path, tmp_path: Path
) -> None:
    """Wherever the process runs, a base beside the adapter is found by ../base."""
    shutil.copytree(base, tmp_path / "base")
    folder = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    tiny.edit_json(folder / "adapter_config.json", base_model_name_or_path="../base")
    assert scores(folder) == scores(adapter)


def test_an_adapters_own_files_come_before_those_of_its_model(
    adapter: Path, tiny_forms: dict[str, Path], tmp_path: Path
) -> None:
    """A plain model does not tell its family; modules.json beside the adapter does."""
    folder = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    plain = tiny_forms["causal"]
    tiny.edit_json(folder / "adapter_config.json", base_model_name_or_path=str(plain))
    with pytest.raises(UnsupportedModelError, match="family="):
        inspect_checkpoint(folder)
    copy_prompt(tiny_forms["qwen3-reranker"], folder)
    assert inspect_checkpoint(folder).family.name == "qwen3-reranker"


def test_an_adapter_beside_weights_is_refused(adapter: Path, merged: Path, tmp_path: Path) -> None:
    """Nothing says whether it is merged already, so both ways out are named."""
    folder = Path(shutil.copytree(merged, tmp_path / "model"))
    shutil.copy(adapter / "adapter_config.json", folder)
    with pytest.raises(UnsupportedModelError) as caught:
        scores(folder)
    for words in (str(folder), "remove", "adapter_model.safetensors", "merge_and_unload"):
        assert words in str(caught.value)


def test_without_peft_there_is_no_score(adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The base's score would be that of another model."""
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"merging the adapter.*zelo\[train\]"):
        scores(adapter)


def _changed_head(folder: Path) -> None:
    path = folder / "adapter_model.safetensors"
    named = {name.replace("mlp.up_proj", "lm_head"): x for name, x in load_file(path).items()}
    tiny.save_tensors(path, named)


def _half(folder: Path) -> None:
    path = folder / "adapter_model.safetensors"
    tiny.save_tensors(path, {name: x for name, x in load_file(path).items() if "lora_A" in name})


def _other_tokens(folder: Path) -> None:
    tokenizer = json.loads(tiny.tokenizer_json())
    tokenizer["added_tokens"][0]["content"] = "<|another|>"
    tiny.write_json(folder / "tokenizer.json", tokenizer)


def _pickle(folder: Path) -> None:
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")


def _says(**settings: Any) -> Callable[[Path], None]:
    return lambda folder: tiny.edit_json(folder / "adapter_config.json", **settings)


FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "another kind": (_says(peft_type="IA3"), "type 'IA3'"),
    "a changed head": (_changed_head, "lm_head"),
    "whole modules": (_says(modules_to_save=["score"]), r"modules_to_save=\['score'\]"),
    "a changed base": (_says(init_lora_weights="pissa"), "init_lora_weights='pissa'"),
    "a module of its own": (_says(megatron_config={"a": 1}), "megatron_config"),
    "no base": (_says(base_model_name_or_path=None), "does not name the model"),
    "a lost base": (_says(base_model_name_or_path="/gone/model"), "'/gone/model', which is not"),
    "another shape": (_says(r=8), "does not fit its model"),
    "half of an update": (_half, "are missing"),
    "other tokens": (_other_tokens, "has other tokens"),
    "a pickle": (_pickle, "is a pickle"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_merged_rightly_is_refused_by_name(
    fault: str, adapter: Path, tmp_path: Path
) -> None:
    """An adapter that is damaged, or changes more than layers, gives no score."""
    folder = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    damage, words = FAULTS[fault]
    damage(folder)
    with pytest.raises(ModelError, match=words) as caught:
        scores(folder)
    assert str(folder) in str(caught.value)


def test_an_adapter_of_an_adapter_is_refused(adapter: Path, tmp_path: Path) -> None:
    """One merge after another is for peft to do, and none is of a folder into itself."""
    folder = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    for base in (str(adapter), "."):
        tiny.edit_json(folder / "adapter_config.json", base_model_name_or_path=base)
        with pytest.raises(UnsupportedModelError, match="an adapter itself"):
            identity_of_model(str(folder), {})


def test_results_depend_on_adapter_and_base(adapter: Path, base: Path, tmp_path: Path) -> None:
    """What bulk scoring, evaluations and pipelines know a folder by changes with either's files."""
    shutil.copytree(base, tmp_path / "base")
    folder = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    tiny.edit_json(folder / "adapter_config.json", base_model_name_or_path="../base")

    def identities() -> list[Any]:
        evaluated = Pointwise(Reranker(folder)).identity
        return [identity_of_model(str(folder), {}), evaluated, Contents(None).of(folder)]

    told = [identities()]
    tiny.edit_json(folder / "adapter_config.json", lora_alpha=3)
    told.append(identities())
    tiny.edit_json(tmp_path / "base" / "config.json", rope_theta=3)
    told.append(identities())
    for of_one in zip(*told, strict=True):
        assert all(one not in of_one[:number] for number, one in enumerate(of_one))
