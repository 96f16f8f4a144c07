"""Files of an export: streamed and whole, or not there at all."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from zelo.errors import InputError, ModelFileError, UnsupportedModelError
from zelo.export import export
from zelo.export import weights as writing
from zelo.export.folders import whole_folder
from zelo.export.source import open_source
from zelo.local.loading.tensors import stored_tensors

WAITING = """
import sys, time
from zelo.export import export

def stage(name):
    def report(done, total):
        print(name, done, flush=True)
        time.sleep(600)
    return report

export(sys.argv[1], sys.argv[2], "vllm", on_stage=stage)
"""
MEASURING = """
import resource, sys
from zelo.export import export
from zelo.local.loading import tensors

tensors.PIECE = 2**20
for rows in (800, 400_000):
    export(f"{sys.argv[1]}/model-{rows}", f"{sys.argv[1]}/out-{rows}", "vllm", family="zerank-1")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder of a tiny model that a test may change."""
    return tiny.save_sentence_transformers(tmp_path / "model")


def written(folder: Path) -> dict[str, torch.Tensor]:
    """Return all tensors of an export, by safetensors' own reader."""
    files = sorted(folder.glob("*.safetensors"))
    return {name: tensor for path in files for name, tensor in load_file(path).items()}


@pytest.mark.parametrize("piece", [64, 4096, 2**24])
def test_weights_are_copied_to_the_bit(model, tmp_path, monkeypatch, piece):
    """Whatever the size of a piece, each tensor comes out as it was, and no other comes with it."""
    monkeypatch.setattr("zelo.local.loading.tensors.PIECE", piece)
    found = written(export(model, tmp_path / "out", "vllm", probes=False).folder)
    assert set(found) == {*tiny.weights(), "score.weight"}
    for name, tensor in tiny.weights().items():
        assert torch.equal(found[name], tensor)


def test_shards_stay_shards(model, tmp_path):
    """An index names every tensor, and the head stands in the last shard."""
    tiny.shard(model)
    folder = export(model, tmp_path / "out", "vllm", probes=False).folder
    index = json.loads((folder / "model.safetensors.index.json").read_text(encoding="utf-8"))
    assert set(index["weight_map"]) == set(written(folder))
    assert index["weight_map"]["score.weight"] == "model-00002-of-00002.safetensors"
    for name, file in index["weight_map"].items():
        with safe_open(folder / file, "pt") as tensors:
            assert name in tensors.keys()
    assert index["metadata"]["total_size"] == sum(
        tensor.numel() * tensor.itemsize for tensor in written(folder).values()
    )


def test_tensors_lie_at_multiples_of_their_numbers_size(model, tmp_path):
    """A reader that maps the file finds float32 at multiples of 4, behind whatever else."""
    head = {"odd": torch.ones(3, dtype=torch.bfloat16), "score.weight": torch.ones(1, 64)}
    source = open_source(str(model))
    writing.write_weights(source, tmp_path, "bfloat16", head, lambda done, total: None)
    tensors = stored_tensors(tmp_path / "model.safetensors")
    assert len(tensors) == len(tiny.weights()) + 2
    for tensor in tensors:
        assert tensor.start % (4 if tensor.kind == "F32" else 2) == 0


def test_a_projection_is_left_out(tiny_forms, tmp_path):
    """No engine reads the vocabulary projection of a classifier."""
    found = written(
        export(
            tiny_forms["causal-untied"], tmp_path / "out", "vllm", family="zerank-2", probes=False
        ).folder
    )
    assert "lm_head.weight" not in found
    row = tiny.weights(tied=False)["lm_head.weight"][tiny.token_id("Yes")]
    assert torch.equal(found["score.weight"], (row / 5)[None])


def test_names_without_their_prefix_get_it(tmp_path):
    """A bare Qwen3Model's tensors are called as a classifier's are."""
    model = tiny.save_causal(tmp_path / "model")
    bare = {name.removeprefix("model."): tensor for name, tensor in tiny.weights().items()}
    save_file(bare, model / "model.safetensors", {"format": "pt"})
    folder = export(model, tmp_path / "out", "vllm", family="zerank-1", probes=False).folder
    assert set(written(folder)) == {*tiny.weights(), "score.weight"}


def test_half_precision_becomes_float32(model, tmp_path):
    """It holds all of its numbers; engines are not told to compute in half precision."""
    half = {name: tensor.half() for name, tensor in tiny.weights().items()}
    tiny.save_tensors(model / "model.safetensors", half)
    found = export(model, tmp_path / "out", "vllm", probes=False)
    assert "--dtype float32" in found.usage
    for name, tensor in half.items():
        assert torch.equal(written(found.folder)[name], tensor.float())


@pytest.mark.parametrize(("dtype", "why"), [("float16", "too small a range"), ("int8", "choose")])
def test_other_number_types_are_refused(model, tmp_path, dtype, why):
    """float16 with its reason; the types that can be had are named."""
    with pytest.raises(InputError, match=f"{why}.*bfloat16, float32"):
        export(model, tmp_path / "out", "vllm", dtype=dtype)
    assert not (tmp_path / "out").exists()


def test_a_number_that_is_not_finite_is_refused(model, tmp_path):
    """The tensor is named, and nothing is left behind."""
    weights = tiny.weights()
    weights["model.layers.1.mlp.up_proj.weight"][3, 5] = float("nan")
    tiny.save_tensors(model / "model.safetensors", weights)
    with pytest.raises(ModelFileError, match=r"layers\.1\.mlp\.up_proj"):
        export(model, tmp_path / "out", "vllm")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("change", ["missing", "shape", "more"])
def test_tensors_of_another_model_are_refused(model, tmp_path, change):
    """Missing, misshapen or unknown tensors are found before anything is written."""
    weights, name = tiny.weights(), "model.layers.0.self_attn.q_norm.weight"
    if change == "missing":
        del weights[name]
    elif change == "shape":
        weights[name] = torch.ones(8)
    else:
        weights["model.layers.0.self_attn.q_proj.bias"] = torch.ones(64)
    tiny.save_tensors(model / "model.safetensors", weights)
    with pytest.raises(ModelFileError, match="layers"):
        open_source(str(model))


def test_an_existing_folder_is_left_alone(model, tmp_path):
    """Only force replaces it, and only when the new one is whole."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("precious", encoding="utf-8")
    with pytest.raises(InputError, match="exists already"):
        export(model, out, "vllm")
    with pytest.raises(InputError):
        export(model, out, "vllm", dtype="float16", force=True)
    assert (out / "mine").read_text(encoding="utf-8") == "precious"
    export(model, out, "vllm", force=True, probes=False)
    assert not (out / "mine").exists()
    assert (out / "config.json").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "out"]


def test_the_model_itself_is_never_replaced(model):
    """Not even by force."""
    with pytest.raises(InputError, match="holds the model itself"):
        export(model, model, "vllm", force=True)
    assert (model / "modules.json").is_file()


def test_an_export_is_not_exported_again(model, tmp_path):
    """Its tokenizer is made for one engine; the message says what to export."""
    folder = export(model, tmp_path / "out", "vllm", probes=False).folder
    with pytest.raises(UnsupportedModelError, match="is an export itself"):
        export(folder, tmp_path / "again", "sglang")


def test_a_killed_export_leaves_nothing_that_looks_finished(model, tmp_path):
    """What it leaves is hidden, and the next export takes it away."""
    out = tmp_path / "out"
    killed = subprocess.Popen(
        [sys.executable, "-c", WAITING, str(model), str(out)], stdout=subprocess.PIPE, text=True
    )
    assert killed.stdout is not None
    with killed:
        try:
            assert killed.stdout.readline().startswith("writing weights")
        finally:
            killed.kill()
    assert not out.exists()
    left = [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert left == [f".out.{killed.pid}.partial"]
    assert not (tmp_path / left[0] / "zelo-export.json").exists()
    export(model, out, "vllm", probes=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "out"]


def test_what_is_left_is_taken_away_unless_somebody_works_on_it(tmp_path):
    """A folder's name tells which process fills it."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for pid in (ended.pid, os.getppid()):
        (tmp_path / f".out.{pid}.partial").mkdir()
    with whole_folder(tmp_path / "out", force=False):
        pass
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"out", f".out.{os.getppid()}.partial"}


def test_a_folder_made_in_the_meantime_is_not_replaced(tmp_path):
    """Two exports to one folder: the slower one fails, and leaves nothing."""
    out = tmp_path / "out"

    def slower() -> None:
        with whole_folder(out, force=False):
            out.mkdir()
            (out / "theirs").touch()

    with pytest.raises(InputError, match="exists already"):
        slower()
    assert (out / "theirs").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_progress_counts_every_byte(model, tmp_path):
    """Bytes rise to the sum of all tensors, and again to that of the layers."""
    seen: dict[str, list[tuple[int, int]]] = {}

    def stage(name: str):
        return lambda done, total: seen.setdefault(name, []).append((done, total))

    folder = export(model, tmp_path / "out", "vllm", on_stage=stage).folder
    size = sum(tensor.numel() * tensor.itemsize for tensor in written(folder).values())
    steps = seen["writing weights"]
    assert steps[-1] == (size, size)
    assert all(a < b for (a, _), (b, _) in itertools.pairwise(steps))
    layers = sum(t.numel() * t.itemsize for n, t in written(folder).items() if "layers" in n)
    assert seen["computing reference scores"] == [(layers // 2, layers), (layers, layers)]


def test_a_published_name_with_other_weights_is_refused(model, tmp_path, monkeypatch):
    """A folder that calls itself zerank-2 and scores otherwise is not exported as one."""
    from zelo.scoring.catalog import ModelSource

    source = ModelSource("zerank-2", folder=model, family="zerank-2")
    monkeypatch.setattr("zelo.export.source.resolve", lambda name, revision: source)
    with pytest.raises(UnsupportedModelError, match="off from those published"):
        export("zerank-2", tmp_path / "out", "vllm")
    assert not (tmp_path / "out").exists()


def test_memory_does_not_grow_with_the_model(tmp_path):
    """Weights of 50 MB take less than 20 MB more than those of 1 MB, probes and all."""
    for rows in (800, 400_000):
        model = tiny.save_causal(tmp_path / f"model-{rows}")
        tiny.edit_json(model / "config.json", vocab_size=rows)
        shapes = {name: tuple(tensor.shape) for name, tensor in tiny.weights().items()}
        shapes["model.embed_tokens.weight"] = (rows, 64)
        tiny.save_zeros(model / "model.safetensors", shapes)
    command = [sys.executable, "-c", MEASURING, str(tmp_path)]
    told = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    small, large = (int(line) for line in told.split())
    unit = 1024 if sys.platform == "linux" else 1
    assert (large - small) * unit < 20e6


def test_reading_a_file_that_becomes_shorter_is_an_error(model):
    """A source that is changed under way is not copied in part."""
    source = open_source(str(model))
    with (model / "model.safetensors").open("r+b") as file:
        file.truncate(source.tensors[-1].start + 3)
    with pytest.raises(ModelFileError, match="became shorter"):
        list(writing.Planned(source.tensors[-1], "x", "F32", (64,)).pieces())
