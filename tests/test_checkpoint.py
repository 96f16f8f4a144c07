"""Folders of models: each form is recognised by its own marks, each fault is named and refused.

No test here accepts a guess: what looks like several families needs `family=`, and what cannot be
scored rightly is an error that names the file and what to do about it.
"""

import json
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import load_file

from zelo import InputError, ModelFileError, Reranker, UnknownModelError, UnsupportedModelError
from zelo.local.loading import device
from zelo.local.loading.checkpoint import CheckpointFiles, inspect_checkpoint

Copy = Callable[[str], Path]


@pytest.fixture
def copy(tiny_forms: dict[str, Path], tmp_path: Path) -> Copy:
    """Return a function that copies the folder of a form, to be damaged."""
    return lambda form: Path(shutil.copytree(tiny_forms[form], tmp_path / "model"))


def load(folder: Path, family: str | None = None) -> Reranker:
    """Load a folder as a caller does, and run it once."""
    reranker = Reranker(folder, family=family, device="cpu", dtype="float32")
    with reranker:
        reranker.warmup()
    return reranker


def change_tensors(folder: Path, **tensors: torch.Tensor | None) -> None:
    """Replace tensors of model.safetensors; double underscores stand for dots, None removes."""
    path = folder / "model.safetensors"
    changed = load_file(path) | {name.replace("__", "."): value for name, value in tensors.items()}
    tiny.save_tensors(path, {name: value for name, value in changed.items() if value is not None})


# forms that are recognised


@pytest.mark.parametrize(
    ("form", "family", "found", "converted"),
    [
        ("zerank-2", None, "zerank-2", False),
        ("zerank-2", "zerank-2", "zerank-2", False),
        ("zerank-2", "zerank-1", "zerank-1", False),
        ("qwen3-reranker", None, "qwen3-reranker", False),
        ("qwen3-reranker", "qwen3-reranker", "qwen3-reranker", False),
        ("causal-auto-map", None, "zerank-1", False),
        ("causal-auto-map", "zerank-2", "zerank-2", False),
        ("causal", "zerank-1", "zerank-1", False),
        ("causal", "zerank-2", "zerank-2", False),
        ("causal", "qwen3-reranker", "qwen3-reranker", False),
        ("converted-1", None, "zerank", True),
        ("converted-1", "zerank-2", "zerank-2", True),
        ("converted-5", None, "zerank", True),
        ("converted-yes-no", None, "qwen3-reranker", True),
    ],
)
def test_forms_are_recognised(
    form: str, family: str | None, found: str, converted: bool, tiny_forms: dict[str, Path]
) -> None:
    """Each form gives its family, from the folder's own marks or from family=."""
    checkpoint = inspect_checkpoint(tiny_forms[form], family)
    assert (checkpoint.family.name, checkpoint.converted) == (found, converted)


@pytest.mark.parametrize("namespace", ["sentence_transformers.models", "another.place"])
def test_module_types_are_compared_by_their_last_part(namespace: str, copy: Copy) -> None:
    """modules.json written by another version of sentence-transformers is recognised."""
    folder = copy("zerank-2")
    modules = json.loads((folder / "modules.json").read_text())
    for module in modules:
        module["type"] = f"{namespace}.{module['type'].rpartition('.')[2]}"
    tiny.write_json(folder / "modules.json", modules)
    assert inspect_checkpoint(folder).family.name == "zerank-2"


def test_own_mark_tells_a_plain_folder_apart(copy: Copy) -> None:
    """A folder that zelo saved says its family in config.json, and needs no family=."""
    folder = copy("causal")
    tiny.edit_json(folder / "config.json", zelo_family="zelo")
    assert inspect_checkpoint(folder).family.name == "zelo"


def test_own_mark_of_a_newer_zelo_is_refused(copy: Copy) -> None:
    """A family that this version does not know is named, not guessed at."""
    folder = copy("causal")
    tiny.edit_json(folder / "config.json", zelo_family="zelo-9")
    with pytest.raises(UnsupportedModelError, match=r"newer zelo: family 'zelo-9'"):
        inspect_checkpoint(folder)


def test_shards_are_recognised(copy: Copy) -> None:
    """An index and its shards stand for one file, and each tensor is found in its shard."""
    folder = copy("zerank-2")
    shards = tiny.shard(folder)
    files = inspect_checkpoint(folder).files
    assert set(files.tensor_files.values()) == set(shards)
    assert set(files.tensor_files) == set(tiny.weights())


# look-alikes and contradictions


def test_plain_causal_folder_needs_a_family(copy: Copy) -> None:
    """zerank-1, Qwen3-Reranker and Qwen3 look alike as plain folders, so the caller must say."""
    folder = copy("causal")
    with pytest.raises(UnsupportedModelError) as caught:
        load(folder)
    assert str(folder) in str(caught.value)
    for word in ("family='zerank-1'", "'zerank-2'", "'qwen3-reranker'"):
        assert word in str(caught.value)


@pytest.mark.parametrize("family", [None, "zerank-1", "zerank-2"])
def test_remote_code_is_a_mark_and_never_runs(family: str | None, copy: Copy) -> None:
    """modeling_zeranker.py marks a zerank-1, and a tripwire in it is never touched."""
    folder = copy("causal-auto-map")
    assert "modeling_zeranker.ZEConfig" in (folder / "config.json").read_text()
    assert (folder / "modeling_zeranker.py").is_file()
    load(folder, family)
    assert not (folder / "REMOTE_CODE_RAN").exists()


@pytest.mark.parametrize(
    "module", ["modeling_qwen.QwenConfig", "ModelForZeranker.Config", "modeling_zeran.ZEConfig"]
)
def test_other_remote_code_is_no_mark(module: str, copy: Copy) -> None:
    """Remote code under another name says nothing about the family."""
    folder = copy("causal")
    tiny.edit_json(folder / "config.json", auto_map={"AutoConfig": module})
    with pytest.raises(UnsupportedModelError, match="family='zerank-1'"):
        inspect_checkpoint(folder)


@pytest.mark.parametrize(
    ("form", "family"),
    [("zerank-2", "qwen3-reranker"), ("qwen3-reranker", "zerank-2"), ("qwen3-reranker", "zelo")],
)
def test_family_against_logit_score_is_refused(form: str, family: str, copy: Copy) -> None:
    """family= that reads other tokens than the folder's LogitScore is a contradiction."""
    folder = copy(form)
    with pytest.raises(InputError, match=r"leave family= out") as caught:
        inspect_checkpoint(folder, family)
    assert family in str(caught.value)
    assert str(folder) in str(caught.value)


def test_unknown_family_is_refused_when_the_reranker_is_made(tiny_model: Path) -> None:
    """A misspelt family is an error that lists the known ones, before anything is loaded."""
    with pytest.raises(InputError, match=r"unknown family 'zerank2'.*qwen3-reranker.*zerank-2"):
        Reranker(tiny_model, family="zerank2")


@pytest.mark.parametrize(
    "score",
    [
        {"true_token_id": 5, "false_token_id": None},
        {"true_token_id": tiny.token_id("Yes"), "false_token_id": tiny.token_id("no")},
        {"true_token_id": tiny.token_id("yes"), "false_token_id": None},
        {"true_token_id": tiny.token_id("no"), "false_token_id": tiny.token_id("yes")},
        {"true_token_id": None, "false_token_id": None},
        {},
    ],
)
def test_unknown_answer_tokens_are_refused(score: dict[str, int | None], copy: Copy) -> None:
    """LogitScore ids that belong to no known family name themselves and the known ones."""
    folder = copy("zerank-2")
    tiny.write_json(folder / "1_LogitScore" / "config.json", score)
    ids = (score.get("true_token_id"), score.get("false_token_id"))
    with pytest.raises(UnsupportedModelError, match="known are") as caught:
        load(folder)
    assert str(ids) in str(caught.value)
    assert str(tiny.token_id("Yes")) in str(caught.value)


def test_no_answer_tokens_are_not_taken_for_a_vocabulary_without_them(copy: Copy) -> None:
    """A LogitScore without ids does not match a tokenizer that lacks the answers as well."""
    folder = copy("zerank-2")
    text = tiny.tokenizer_json().replace('"Yes":', '"Yis":').replace('"yes":', '"yis":')
    text = text.replace('"Yes"', '"Yis"').replace('"yes"', '"yis"')
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    tiny.write_json(folder / "1_LogitScore" / "config.json", {})
    with pytest.raises(UnsupportedModelError):
        inspect_checkpoint(folder)


@pytest.mark.parametrize(
    "kinds",
    [
        ["Transformer"],
        ["Transformer", "Pooling"],
        ["Transformer", "Pooling", "Normalize"],
        ["Transformer", "LogitScore", "Dense"],
        ["LogitScore", "Transformer"],
        [],
    ],
)
def test_other_modules_are_refused(kinds: list[str], copy: Copy) -> None:
    """An embedding model, or a reranker with more behind it, is not scored as a zerank."""
    folder = copy("zerank-2")
    modules = [{"path": "", "type": f"sentence_transformers.{kind}"} for kind in kinds]
    tiny.write_json(folder / "modules.json", modules)
    with pytest.raises(UnsupportedModelError, match=re.escape(f"modules.json lists {kinds}")):
        load(folder)


@pytest.mark.parametrize("kind", ["Pooling", "Dense"])
def test_a_classifier_with_more_behind_it_is_refused(kind: str, copy: Copy) -> None:
    """Its scores are made by what follows, not by its own head."""
    folder = copy("converted-1")
    modules = [{"path": "", "type": f"sentence_transformers.{k}"} for k in ("Transformer", kind)]
    tiny.write_json(folder / "modules.json", modules)
    with pytest.raises(UnsupportedModelError, match=rf"modules\.json lists .*{kind}"):
        load(folder)


# converted heads


def test_random_head_is_refused(copy: Copy) -> None:
    """A head that was drawn at random, as when score.weight was missing, is not scored with."""
    folder = copy("converted-1")
    torch.manual_seed(0)
    change_tensors(folder, score__weight=torch.randn(1, 64) * 0.5)
    with pytest.raises(UnsupportedModelError, match=r"score\.weight in .* random") as caught:
        load(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("family", ["zerank-1", "zerank-2", "qwen3-reranker"])
def test_random_head_is_refused_with_a_family_too(family: str, copy: Copy) -> None:
    """family= does not make a random head acceptable."""
    folder = copy("converted-1")
    torch.manual_seed(0)
    change_tensors(folder, score__weight=torch.randn(1, 64) * 0.5)
    with pytest.raises(UnsupportedModelError, match=rf"answer row of family '{family}'"):
        load(folder, family)


@pytest.mark.parametrize(
    ("form", "family"), [("converted-1", "qwen3-reranker"), ("converted-yes-no", "zerank-2")]
)
def test_converted_row_of_another_family_is_refused(form: str, family: str, copy: Copy) -> None:
    """family= is checked against the row that the folder was converted from."""
    with pytest.raises(UnsupportedModelError, match=r"name the right family"):
        load(copy(form), family)


@pytest.mark.parametrize("divisor", [-1, 2, 25, 0.2])
def test_other_divisors_are_refused(divisor: float, tmp_path: Path) -> None:
    """Only the row itself and a fifth of it are known; what else it was scaled by is not."""
    folder = tiny.save_converted(tmp_path / "model", divisor)
    with pytest.raises(UnsupportedModelError, match=r"whole or divided by 5"):
        load(folder)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("divisor", [1, 5])
def test_rows_rounded_on_conversion_are_recognised(
    dtype: torch.dtype, divisor: int, tmp_path: Path
) -> None:
    """A row divided in float32 and stored in two bytes still is the family's own."""
    folder = tiny.save_converted(tmp_path / "model", divisor)
    tensors = load_file(folder / "model.safetensors")
    rounded = {name: tensor.to(dtype) for name, tensor in tensors.items()}
    tiny.save_tensors(folder / "model.safetensors", rounded)
    assert inspect_checkpoint(folder).family.name == "zerank"


def test_head_row_missing(copy: Copy) -> None:
    """A converted folder without score.weight would get a random head, and is refused."""
    folder = copy("converted-1")
    change_tensors(folder, score__weight=None)
    with pytest.raises(ModelFileError, match=r"holds no score\.weight.*random"):
        load(folder)


@pytest.mark.parametrize("shape", [(2, 64), (64,), (1, 32), (1, 1), (), (0, 64), (1, 64, 1)])
@pytest.mark.parametrize("family", [None, "zerank-2"])
def test_head_of_another_shape(shape: tuple[int, ...], family: str | None, copy: Copy) -> None:
    """A head that is not one row of the hidden size is refused, whatever its shape."""
    folder = copy("converted-1")
    change_tensors(folder, score__weight=torch.ones(shape))
    with pytest.raises((UnsupportedModelError, ModelFileError)) as caught:
        load(folder, family)
    assert "score.weight" in str(caught.value)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("form", "family", "tensor"),
    [
        ("converted-1", None, "score.weight"),
        ("converted-1", "zerank-2", "score.weight"),
        ("causal-untied", "zerank-1", "lm_head.weight"),
        ("zerank-2", None, "model.embed_tokens.weight"),
        ("zerank-2", None, "model.layers.1.mlp.down_proj.weight"),
        ("zerank-2", None, "model.norm.weight"),
        ("qwen3-reranker", None, "model.layers.1.self_attn.k_norm.weight"),
    ],
)
def test_non_finite_weights_are_refused(
    value: float, form: str, family: str | None, tensor: str, copy: Copy
) -> None:
    """One NaN or infinity in what is computed with stops the load, and the tensor is named."""
    folder = copy(form)
    path = folder / "model.safetensors"
    tensors = load_file(path)
    rows = tensors[tensor].view(-1, tensors[tensor].shape[-1])
    rows[tiny.token_id("Yes") if rows.shape[0] > 600 else -1, 3] = value
    tiny.save_tensors(path, tensors)
    with pytest.raises(ModelFileError, match="NaN or infinity") as caught:
        load(folder, family)
    assert tensor.removeprefix("model.") in str(caught.value)
    assert str(folder) in str(caught.value)


def test_converted_folder_with_its_projection_is_compared_with_that(tmp_path: Path) -> None:
    """A folder converted from an untied model is checked against lm_head.weight, if it is there."""
    folder = tiny.save_converted(tmp_path / "model")
    row = tiny.weights(tied=False)["lm_head.weight"]
    tiny.edit_json(folder / "config.json", tie_word_embeddings=False)
    change_tensors(
        folder, lm_head__weight=row, score__weight=row[tiny.token_id("Yes")][None].clone()
    )
    assert inspect_checkpoint(folder).family.name == "zerank"


def test_converted_folder_with_embeddings_of_another_width(copy: Copy) -> None:
    """Embeddings that the head cannot be compared with are named."""
    folder = copy("converted-1")
    change_tensors(folder, model__embed_tokens__weight=torch.ones(705, 32))
    with pytest.raises(ModelFileError, match=r"embed_tokens\.weight in .* has shape \(705, 32\)"):
        load(folder)


# configurations that are not supported


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architectures": ["LlamaForCausalLM"], "model_type": "llama"}, "'LlamaForCausalLM'"),
        ({"architectures": ["BertForSequenceClassification"]}, "'BertForSequenceClassification'"),
        ({"architectures": ["Qwen3Model"]}, "'Qwen3Model'"),
        ({"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe"}, "qwen3_moe"),
        ({"architectures": None}, "'none'"),
        ({"architectures": []}, "'none'"),
        ({"model_type": None}, "model type None"),
        ({"model_type": "qwen2"}, "'qwen2'"),
    ],
)
def test_other_architectures_are_refused(
    changes: dict[str, object], words: str, copy: Copy
) -> None:
    """What was found is named beside what is supported."""
    folder = copy("zerank-2")
    tiny.edit_json(folder / "config.json", **changes)
    with pytest.raises(UnsupportedModelError, match=words) as caught:
        load(folder, "zerank-2")
    assert "Qwen3ForSequenceClassification" in str(caught.value)
    assert str(folder) in str(caught.value)


def test_superseded_form_names_its_successor(copy: Copy) -> None:
    """zerank-2's refs/pr/2, which needs remote code, is answered with the alias to use."""
    folder = copy("zerank-2")
    tiny.edit_json(
        folder / "config.json",
        model_type="zeroentropy",
        architectures=["ZeroEntropyForSequenceClassification"],
        yes_token_id=9454,
    )
    with pytest.raises(UnsupportedModelError, match=r"refs/pr/2 .*alias 'zerank-2'"):
        load(folder, "zerank-2")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"quantization_config": {"quant_method": "fp8"}}, "quantised; give"),
        ({"quantization": {"group_size": 64, "bits": 4}}, "quantised for MLX; give"),
        ({"use_sliding_window": True, "sliding_window": 128}, "sliding-window"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "sliding-window"),
        ({"transformers_weights": "others.safetensors"}, "a file of its own"),
    ],
)
@pytest.mark.parametrize("form", ["zerank-2", "causal", "converted-1"])
def test_changed_numerics_are_refused(
    form: str, changes: dict[str, object], words: str, copy: Copy
) -> None:
    """Quantised weights, sliding windows and weights of another file give other scores."""
    folder = copy(form)
    tiny.edit_json(folder / "config.json", **changes)
    with pytest.raises(UnsupportedModelError, match=words) as caught:
        load(folder, "zerank-2")
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_size": "many"},
        {"num_hidden_layers": [2]},
        {"num_attention_heads": 0},
        {"head_dim": -16},
        {"vocab_size": 2.5},
        {"rope_theta": "x"},
        {"max_position_embeddings": "long"},
        {"max_position_embeddings": 0},
        {"hidden_act": "unheard-of"},
    ],
)
def test_senseless_config_is_a_typed_error(changes: dict[str, object], copy: Copy) -> None:
    """A value that Qwen3 cannot be built from never ends in a bare error of another library."""
    folder = copy("zerank-2")
    tiny.edit_json(folder / "config.json", **changes)
    with pytest.raises((ModelFileError, UnsupportedModelError)) as caught:
        load(folder)
    assert str(folder) in str(caught.value)


# files that are missing or damaged


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("zerank-2", "config.json"),
        ("zerank-2", "tokenizer.json"),
        ("zerank-2", "model.safetensors"),
        ("zerank-2", "1_LogitScore/config.json"),
        ("causal", "config.json"),
        ("converted-1", "tokenizer.json"),
    ],
)
def test_missing_file_is_named(form: str, name: str, copy: Copy) -> None:
    """A folder that lacks a file says which, and to fetch the whole model."""
    folder = copy(form)
    (folder / name).unlink()
    with pytest.raises(ModelFileError) as caught:
        load(folder, "zerank-2")
    assert f"{folder / name} is missing" in str(caught.value)
    assert "fetch the whole model" in str(caught.value)


@pytest.mark.parametrize("which", [0, 1])
def test_missing_shard_is_named(which: int, copy: Copy) -> None:
    """A shard that the index lists and the folder lacks is named."""
    folder = copy("zerank-2")
    shard = tiny.shard(folder)[which]
    shard.unlink()
    with pytest.raises(ModelFileError, match=f"{re.escape(str(shard))} is missing"):
        load(folder)


def test_missing_index_is_noticed(copy: Copy) -> None:
    """Shards without their index are not a whole model."""
    folder = copy("zerank-2")
    tiny.shard(folder)
    (folder / "model.safetensors.index.json").unlink()
    with pytest.raises(ModelFileError, match=r"model\.safetensors is missing"):
        load(folder)


def test_tensor_listed_in_the_index_but_in_no_shard(copy: Copy) -> None:
    """A shard of another model, whole in itself, is not taken for the right one."""
    folder = copy("zerank-2")
    shards = tiny.shard(folder)
    shutil.copyfile(shards[0], shards[1])
    with pytest.raises(ModelFileError, match=r"missing") as caught:
        load(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("kept", [0, 4, 8, 40, 0.5, -1])
@pytest.mark.parametrize("sharded", [False, True])
def test_half_downloaded_weights_are_named(kept: float, sharded: bool, copy: Copy) -> None:
    """A safetensors file that was cut short anywhere is named before any layer is built."""
    folder = copy("zerank-2")
    path = tiny.shard(folder)[1] if sharded else folder / "model.safetensors"
    content = path.read_bytes()
    size = int(len(content) * kept) if isinstance(kept, float) else kept
    path.write_bytes(content[:size])
    with pytest.raises(ModelFileError) as caught:
        inspect_checkpoint(folder)
    assert str(path) in str(caught.value)
    assert re.search(r"fetch it again|run it again|fetch the file again", str(caught.value))


def _header(header: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header


@pytest.mark.parametrize(
    "content",
    [
        b"<!DOCTYPE html><html>Bad gateway</html>",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 8044936192\n",
        b"\xff" * 64,
        b"\x00" * 64,
        _header(b"[]"),
        _header(b"5"),
        _header(b"null"),
        _header(b'"text"'),
        _header(b"{"),
        _header(b'{"a": 1}'),
        _header(b'{"a": null}'),
        _header(b'{"a": {"data_offsets": [0]}}'),
        _header(b'{"a": {"data_offsets": ["x", "y"]}}'),
        _header(b'{"a": {"data_offsets": [null, null]}}'),
        _header(b'{"\xff": {}}'),
        _header(b"[" * 100_000),
        _header(b"{}"),
    ],
)
def test_garbage_instead_of_weights(content: bytes, copy: Copy) -> None:
    """What is no safetensors file, an error page or a pointer of git-lfs, is named as such."""
    folder = copy("zerank-2")
    path = folder / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        load(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    "offsets", [[0, -4], [4, 0], [0, 2**62], [0, 10**30], [-8, 8], [0, float("inf")]]
)
def test_senseless_offsets_in_the_header(offsets: list[float], copy: Copy) -> None:
    """Offsets that lie are noticed here, not by a crash in a reader further on."""
    folder = copy("zerank-2")
    tensor = {"dtype": "F32", "shape": [2], "data_offsets": offsets}
    header = json.dumps({"model.norm.weight": tensor}).encode()
    (folder / "model.safetensors").write_bytes(_header(header) + bytes(8))
    with pytest.raises(ModelFileError) as caught:
        load(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    "index",
    [
        {},
        {"weight_map": {}},
        {"weight_map": []},
        {"weight_map": {"model.norm.weight": 3}},
        {"weight_map": {"a": None, "b": "model.safetensors"}},
        {"weight_map": {"a": ["x"]}},
    ],
)
def test_index_without_a_sound_weight_map(index: dict[str, object], copy: Copy) -> None:
    """An index that does not map tensors to files is named."""
    folder = copy("zerank-2")
    tiny.shard(folder)
    path = folder / "model.safetensors.index.json"
    tiny.write_json(path, index)
    with pytest.raises(ModelFileError, match=re.escape(str(path))):
        load(folder)


@pytest.mark.parametrize("name", ["../outside.safetensors", "/etc/hostname"])
def test_index_cannot_point_outside_the_folder(name: str, copy: Copy) -> None:
    """An index names files beside it; another place is refused, even if a model lies there."""
    folder = copy("zerank-2")
    shutil.copyfile(folder / "model.safetensors", folder.parent / "outside.safetensors")
    (folder / "model.safetensors").unlink()
    path = folder / "model.safetensors.index.json"
    tiny.write_json(path, {"weight_map": dict.fromkeys(tiny.weights(), name)})
    with pytest.raises(ModelFileError, match=re.escape(str(path))):
        load(folder)


@pytest.mark.parametrize(
    "name", ["config.json", "modules.json", "1_LogitScore/config.json", "tokenizer.json"]
)
@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe{}", b"3", b"[3]", b'"x"', b"null", b"[" * 100_000]
)
def test_damaged_json_is_named(name: str, content: bytes, copy: Copy) -> None:
    """A JSON file that is cut short, not text or of another kind is a typed error naming it."""
    folder = copy("zerank-2")
    (folder / name).write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        load(folder)
    assert Path(name).name in str(caught.value)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("form", ["zerank-2", "converted-1"])
def test_header_that_safetensors_refuses(form: str, copy: Copy) -> None:
    """A header that is JSON, but no header, is a typed error naming the file."""
    folder = copy(form)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes().replace(b'"F32"', b'"F99"'))
    with pytest.raises(ModelFileError, match="safetensors"):
        load(folder)


class _Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("index", [False, True])
def test_pickled_weights_are_never_read(index: bool, copy: Copy) -> None:
    """A folder with pickles only is refused with their name, and a tripwire in them stays whole."""
    folder = copy("zerank-2")
    (folder / "model.safetensors").unlink()
    mark = folder / "PICKLE_RAN"
    name = "pytorch_model-00001-of-00001.bin" if index else "pytorch_model.bin"
    (folder / name).write_bytes(pickle.dumps(_Bomb(mark)))
    if index:
        weight_map = dict.fromkeys(tiny.weights(), name)
        tiny.write_json(folder / "pytorch_model.bin.index.json", {"weight_map": weight_map})
    with pytest.raises(ModelFileError, match=r"model\.safetensors is missing.*is a pickle") as why:
        load(folder)
    assert name in str(why.value)
    assert not mark.exists()


def test_pickles_beside_whole_weights_are_never_read(copy: Copy) -> None:
    """A pickle that lies beside the safetensors file is left alone."""
    folder = copy("zerank-2")
    mark = folder / "PICKLE_RAN"
    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt", "adapter_model.bin"):
        (folder / name).write_bytes(pickle.dumps(_Bomb(mark)))
    load(folder)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("beside", "cure"),
    [
        (["zerank-2-q8_0.gguf"], "llama-server --reranking .* base_url="),
        (["config.json", "zerank-2.gguf"], "llama-server --reranking .* base_url="),
        (["config.json", "weights.npz", "tokenizer.json"], "MLX.* that it was made of"),
        (["config.json", "tokenizer.json", "model.onnx"], "ONNX"),
    ],
)
def test_weights_of_another_kind_are_named(beside: list[str], cure: str, tmp_path: Path) -> None:
    """A folder whose weights are for another engine says which, and what to do with them."""
    for name in beside:
        (tmp_path / name).write_text("{}")
    with pytest.raises(ModelFileError, match=rf"is missing\. \S+ is .*{cure}"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("prefix", "inner"),
    [
        ("module.", r"model\.module"),
        ("_orig_mod.", r"model\._orig_mod"),
        ("base_model.model.", "merge_and_unload"),
        ("model.", "inside its wrapper"),  # of a Lightning module, say
    ],
)
@pytest.mark.parametrize("form", ["zerank-2", "converted-1"])
def test_prefix_of_a_wrapper_is_named(form: str, prefix: str, inner: str, copy: Copy) -> None:
    """Weights saved through a wrapper are refused by its prefix, not called missing."""
    folder = copy(form)
    path = folder / "model.safetensors"
    tiny.save_tensors(path, {prefix + name: value for name, value in load_file(path).items()})
    told = f"begin with '{prefix}'.*save .*{inner}"
    with pytest.raises(UnsupportedModelError, match=told):
        load(folder, "zerank-2")


def test_missing_tensor_is_named(copy: Copy) -> None:
    """A tensor that the file lacks would be random, and is named."""
    folder = copy("zerank-2")
    change_tensors(folder, model__layers__1__mlp__up_proj__weight=None)
    with pytest.raises(ModelFileError, match=r"layers\.1\.mlp\.up_proj\.weight") as caught:
        load(folder)
    assert "are missing" in str(caught.value)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("tied", [True, False])
def test_missing_embeddings_or_projection_are_named(tied: bool, tmp_path: Path) -> None:
    """The tensor that the answer row is read from is named when it is missing."""
    folder = tiny.save_causal(tmp_path / "model", tied=tied)
    name = "model.embed_tokens.weight" if tied else "lm_head.weight"
    change_tensors(folder, **{name: None})
    with pytest.raises(ModelFileError, match=f"no tensor {name}"):
        load(folder, "zerank-1")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("model.layers.0.self_attn.q_proj.weight", (32, 64)),
        ("model.norm.weight", (32,)),
        ("model.embed_tokens.weight", (800, 64)),
        ("model.embed_tokens.weight", (705, 32)),
        ("model.embed_tokens.weight", (64,)),
        ("model.embed_tokens.weight", (10, 64)),
    ],
)
def test_wrong_shape_is_named(name: str, shape: tuple[int, ...], copy: Copy) -> None:
    """A tensor of another shape than config.json says would be random, and is named."""
    folder = copy("zerank-2")
    change_tensors(folder, **{name: torch.ones(shape)})
    with pytest.raises(ModelFileError) as caught:
        load(folder)
    assert name.removeprefix("model.") in str(caught.value)
    assert str(folder) in str(caught.value)


def test_tensors_of_another_architecture_are_named(copy: Copy) -> None:
    """Tensors that Qwen3 has no place for, such as an adapter's, are not dropped in silence."""
    folder = copy("zerank-2")
    change_tensors(folder, model__layers__0__self_attn__q_proj__lora_A__weight=torch.ones(4, 64))
    with pytest.raises(ModelFileError, match=r"another architecture.*lora_A") as caught:
        load(folder)
    assert str(folder) in str(caught.value)


# places that are no folder of a model


def test_file_instead_of_a_folder(tiny_model: Path) -> None:
    """A path to the weights themselves is answered with what to give instead."""
    with pytest.raises(UnknownModelError, match=r"is a file; give the folder"):
        Reranker(tiny_model / "model.safetensors")


def test_empty_folder(tmp_path: Path) -> None:
    """A folder without config.json names the file that it looked for."""
    with pytest.raises(ModelFileError, match=r"config\.json is missing"):
        load(tmp_path)


@pytest.mark.parametrize("place", ["model", "refined/model"])
def test_a_work_folder_is_answered_with_its_reranker(
    tiny_model: Path, tmp_path: Path, place: str
) -> None:
    """Who names the folder of zelo train run is told which folder in it was meant."""
    for name in {"model", place}:
        shutil.copytree(tiny_model, tmp_path / name)
    with pytest.raises(ModelFileError, match=rf"is missing; is .*/{place} meant\?"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("hidden", "dtype", "expected"),
    [
        (192, None, torch.float32),
        (256, None, torch.float32),
        (257, None, torch.bfloat16),
        (1024, None, torch.bfloat16),
        (None, None, torch.bfloat16),
        (192, "bfloat16", torch.bfloat16),
        (1024, "float32", torch.float32),
    ],
)
def test_a_small_model_computes_in_float32(
    monkeypatch: pytest.MonkeyPatch, hidden: int | None, dtype: str | None, expected: torch.dtype
) -> None:
    """Where the hardware computes in bfloat16 the others do; what is asked for goes before both."""
    monkeypatch.setattr(device, "_computes_bfloat16", lambda _: True)
    files = CheckpointFiles(Path(), {"hidden_size": hidden}, {})
    assert device.choose_dtype(dtype, torch.device("cpu"), files) is expected


def test_error_leaves_nothing_behind(copy: Copy) -> None:
    """After a failed load the mended folder loads with the same reranker."""
    folder = copy("zerank-2")
    (folder / "tokenizer.json").rename(folder / "away.json")
    with Reranker(folder, device="cpu", dtype="float32") as reranker:
        with pytest.raises(ModelFileError):
            reranker.warmup()
        (folder / "away.json").rename(folder / "tokenizer.json")
        assert len(reranker.score("the river", ["sea", "file"])) == 2
