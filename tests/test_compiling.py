"""Compiled layers: how many graphs there are, the same scores, and what happens if none can be."""

import logging
import os

import pytest
import torch
from packing_kit import CPU, ROW, Compiler, part, qwen

from zelo.local.attention import NAME
from zelo.local.compiling import CACHE_VARIABLE, GRAPHS, compile_layers
from zelo.local.model import ScoringModel
from zelo.local.packing import build_pack

WAYS = ["gathered", "merged"]
FIRST = [part(37, 5, 6, 4, 7, 9), part(23, 5, 6)]
LATER = {
    "one query": [part(7, 5, 3, 20)],
    "two documents": [part(7, 5, 3)],
    "one document": [part(9, 11)],
    "one token each": [part(1, 1, 1)],
    "no prefix": [part(0, 11, 4)],
    "several tiles": [part(300, 5, 140), part(3, 9)],
    "many documents": [part(40, *[3] * 60)],
    "as many tokens as a state has numbers": [part(10, 11, 11)],
}


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    """Start and end without compiled code, and keep what there is away from the user's."""
    monkeypatch.setenv("ZELO_CACHE", str(tmp_path))
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "inductor"))
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def compiled(monkeypatch, compiler, **sizes):
    """Return a model whose layers a compiler of ours compiles."""
    monkeypatch.setattr(
        "zelo.local.model.compile_layers", lambda backbone: compile_layers(backbone, compiler)
    )
    return ScoringModel(qwen(NAME, **sizes), ROW, compile=True)


def test_four_graphs_serve_packs_of_all_sizes(monkeypatch):
    """Two ways, each with a graph for the layers and one for the last; after the first pack of
    each way none is added, whatever the next ones hold, and scores are those without a compiler."""
    compiler = Compiler()
    model, plain = compiled(monkeypatch, compiler), ScoringModel(qwen(NAME), ROW)
    for way in WAYS:
        model.logits(build_pack(FIRST, CPU, way))
    assert compiler.graphs == GRAPHS == 4
    for parts in [*LATER.values(), FIRST]:
        expected = pytest.approx(plain.logits(build_pack(parts, CPU)), abs=1e-5)
        for way in WAYS:
            assert model.logits(build_pack(parts, CPU, way)) == expected
    assert compiler.graphs == GRAPHS
    assert model.compiled


@pytest.mark.parametrize("first", ["two documents", "as many tokens as a state has numbers"])
def test_any_first_pack_will_do(monkeypatch, first):
    """Where sizes are equal in the first pack by chance, graphs of the next one serve the rest."""
    compiler = Compiler()
    model = compiled(monkeypatch, compiler, layers=2)
    for parts in (LATER[first], FIRST):
        model.logits(build_pack(parts, CPU, "merged"))
    made = compiler.graphs
    assert made <= GRAPHS
    model.logits(build_pack(LATER["several tiles"], CPU, "merged"))
    assert compiler.graphs == made


def test_packs_without_a_layout_are_gathered(monkeypatch):
    """On a CPU a compiled model lays out for the ragged kernel what was not built for it."""
    compiler = Compiler()
    model = compiled(monkeypatch, compiler)
    expected = ScoringModel(qwen(NAME), ROW).logits(build_pack(FIRST, CPU))
    assert model.logits(build_pack(FIRST, CPU)) == pytest.approx(expected, abs=1e-5)
    assert compiler.graphs == GRAPHS / 2


def test_models_compile_side_by_side(monkeypatch):
    """Graphs of all models of a process count together, and torch's own limit to them, 2 here, is
    raised: the third shape of model is compiled as the first."""
    compiler = Compiler()
    with torch._dynamo.config.patch(recompile_limit=2):
        for wider in range(3):
            model = compiled(monkeypatch, compiler, layers=2, intermediate_size=48 + wider)
            model.logits(build_pack(FIRST, CPU))
            assert model.compiled
    assert compiler.graphs == 6


def test_a_failing_compiler_costs_speed_only(monkeypatch, caplog):
    """What cannot be compiled runs as it is, with the same scores, and a warning says so once."""

    def fail(graph, example):
        raise OSError("no C compiler\nsecond line")

    model = compiled(monkeypatch, fail)
    expected = ScoringModel(qwen(NAME), ROW).logits(build_pack(FIRST, CPU))
    with caplog.at_level(logging.WARNING, logger="zelo"):
        for _ in range(2):
            assert model.logits(build_pack(FIRST, CPU)) == expected
    assert not model.compiled
    [said] = [record for record in caplog.records if record.name == "zelo"]
    assert said.getMessage().endswith("slower: OSError: no C compiler")


def test_a_pack_that_does_not_fit_is_not_the_compilers_fault(monkeypatch):
    """An error of what was compiled is raised as it is, and the model stays compiled."""

    def exhaust(*inputs):
        raise torch.OutOfMemoryError("out of memory")

    model = compiled(monkeypatch, lambda graph, example: exhaust)
    with pytest.raises(torch.OutOfMemoryError):
        model.logits(build_pack(FIRST, CPU))
    assert model.compiled


def test_no_compiling_where_attention_is_per_segment(caplog):
    """On a device without a ragged kernel layers stay as they are, and a line says so."""
    with caplog.at_level(logging.INFO, logger="zelo"):
        model = ScoringModel(qwen(NAME, torch.bfloat16).to("meta"), ROW, compile=True)
    assert not model.compiled
    assert "not compiled: on meta in bfloat16" in caplog.text


def test_compiled_code_is_kept_in_the_cache_folder(monkeypatch, tmp_path):
    """Where the user named no folder it is zelo's, for its owner alone."""
    monkeypatch.delenv(CACHE_VARIABLE)
    compile_layers(qwen(NAME))
    folder = tmp_path / "compiled"
    assert os.environ[CACHE_VARIABLE] == str(folder)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_users_folder_is_left(monkeypatch, tmp_path):
    """TORCHINDUCTOR_CACHE_DIR stays what it was."""
    monkeypatch.setenv(CACHE_VARIABLE, "/elsewhere")
    compile_layers(qwen(NAME))
    assert os.environ[CACHE_VARIABLE] == "/elsewhere"
    assert not (tmp_path / "compiled").exists()


def test_a_folder_that_cannot_be_made_is_done_without(monkeypatch, tmp_path):
    """torch then keeps compiled code where it would have."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("ZELO_CACHE", str(tmp_path / "file"))
    monkeypatch.delenv(CACHE_VARIABLE)
    compile_layers(qwen(NAME))
    assert os.environ.get(CACHE_VARIABLE) != str(tmp_path / "file" / "compiled")
