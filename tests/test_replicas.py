"""Copies of a model on several devices behind one reranker, and its layers in fewer bits.

Without a card the devices are the CPU, several times: everything but the card is real.
"""

import gc
import threading
import weakref
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import torch

from zelo import InputError, ModelError, ModelFailedError, Reranker
from zelo.local import compiling, instances
from zelo.local.engine import Engine
from zelo.local.loading import device as devices
from zelo.local.loading.checkpoint import read_checkpoint_files
from zelo.local.model import ScoringModel, load_backbone
from zelo.local.packing import Part, build_pack, choose_way
from zelo.scoring.options import Quantization

CPU = torch.device("cpu")
QUERY = "how is the water of the river"
DOCUMENTS = [f"the water of bridge {i} " * (1 + i % 5) for i in range(60)]
OPTIONS = {"dtype": "float32", "device": "cpu"}


@pytest.fixture
def alone(tiny_model):
    """What one copy of the model gives."""
    with Reranker(tiny_model, **OPTIONS) as reranker:
        yield reranker.score(QUERY, DOCUMENTS, scale="logit")


@pytest.fixture
def three(monkeypatch):
    """Let `all` be three devices."""
    monkeypatch.setattr(devices, "choose_devices", lambda wanted: [CPU] * (3 if wanted else 1))


def instance(reranker):
    """The loaded model behind a reranker."""
    return reranker._scorer._instance


def test_copies_share_the_work_and_give_the_same_scores(tiny_model, alone, three):
    """With a copy on each device scores are those of one, and each copy computes some."""
    with Reranker(tiny_model, dtype="float32", device="all", max_batch_tokens=128) as reranker:
        reranker.warmup()
        workers = instance(reranker).engine._workers
        backbones = [worker.model.backbone for worker in workers]
        assert len({id(backbone) for backbone in backbones}) == 3
        seen = set()
        for backbone in backbones:
            backbone.register_forward_hook(lambda module, *_: seen.add(id(module)))
        with ThreadPoolExecutor(4) as pool:
            found = list(
                pool.map(lambda _: reranker.score(QUERY, DOCUMENTS, scale="logit"), range(8))
            )
        assert found == [pytest.approx(alone, abs=1e-4)] * 8
        assert len(seen) == 3
        assert repr(reranker).endswith("(float32 on cpu, cpu, cpu))")


def test_the_fullest_card_decides_on_packs(tiny_model, three, monkeypatch):
    """All copies get packs for which each of them has room."""
    free = iter((300, 120, 500))
    monkeypatch.setattr(devices, "choose_batch_tokens", lambda wanted, backbone: next(free))
    with Reranker(tiny_model, dtype="float32", device="all") as reranker:
        reranker.warmup()
        workers = instance(reranker).engine._workers
        assert [worker._budget.tokens for worker in workers] == [120] * 3


def test_closing_frees_all_copies(tiny_model, three):
    """No copy, and no thread of one, outlives its reranker."""
    before = set(threading.enumerate())
    reranker = Reranker(tiny_model, dtype="float32", device="all", max_batch_tokens=96)
    reranker.warmup()
    held = [weakref.ref(worker.model.backbone) for worker in instance(reranker).engine._workers]
    reranker.close()
    gc.collect()
    assert [reference() for reference in held] == [None] * 3
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()


def test_warming_up_reaches_every_copy(tiny_model, three, monkeypatch):
    """Each copy has computed something after warmup(), and what was for nobody is not counted."""
    started = []
    start = ScoringModel.start
    monkeypatch.setattr(
        ScoringModel, "start", lambda self, pack: (started.append(self), start(self, pack))[1]
    )
    with Reranker(tiny_model, dtype="float32", device="all", max_batch_tokens=95) as reranker:
        reranker.warmup()
        models = {id(worker.model) for worker in instance(reranker).engine._workers}
        assert {id(model) for model in started} == models
        assert reranker.stats().packs == 1


def test_warming_up_that_fails_is_told(tiny_model, three, monkeypatch):
    """A copy that cannot compute is an error of warmup(), not of a later call."""

    def fail(self, pack):
        raise RuntimeError("no kernel image is available")

    monkeypatch.setattr(ScoringModel, "start", fail)
    with Reranker(tiny_model, dtype="float32", device="all", max_batch_tokens=94) as reranker:
        with pytest.raises(ModelFailedError, match="warmed up: RuntimeError: no kernel image"):
            reranker.warmup()


def test_after_warming_up_nothing_is_compiled(tiny_model, alone, monkeypatch):
    """Compiled layers have seen every kind of pack: calls of all kinds make no new graph."""
    made = []

    def count(graph, examples):
        made.append(graph)
        return graph.forward

    def with_counter(backbone):
        compiling.compile_layers(backbone, backend=count)

    def laid_out_as_for_a_card(parts, device):
        return build_pack(parts, device, choose_way(parts))

    monkeypatch.setattr("zelo.local.model.compile_layers", with_counter)
    monkeypatch.setattr("zelo.local.worker.build_pack", laid_out_as_for_a_card)
    torch._dynamo.reset()
    with Reranker(tiny_model, compile=True, max_batch_tokens=3_000, **OPTIONS) as reranker:
        reranker.warmup()
        graphs = len(made)
        assert graphs > 0
        assert reranker.score(QUERY, DOCUMENTS, scale="logit") == pytest.approx(alone, abs=1e-4)
        reranker.score(QUERY, DOCUMENTS[:1])
        reranker.score(QUERY, DOCUMENTS[:2])
        reranker.score("cold " * 700, DOCUMENTS[:30])
        reranker.rank_many([(f"bridge {i}", DOCUMENTS[i : i + 1 + i % 3]) for i in range(12)])
        reranker.rank_many([("cold " * (600 + i), DOCUMENTS[i : i + 9]) for i in range(4)])
        assert len(made) == graphs
    torch._dynamo.reset()


@pytest.mark.parametrize("name", Quantization.__args__)
def test_layers_in_fewer_bits_score_alike(tiny_model, alone, name):
    """With quantised layers scores stay near, the instance is another, and its name says which."""
    with Reranker(tiny_model, quantization=name, **OPTIONS) as reranker:
        found = reranker.score(QUERY, DOCUMENTS, scale="logit")
        assert found != alone
        deviation = max(abs(a - b) for a, b in zip(found, alone, strict=True))
        assert deviation < 0.5 * (max(alone) - min(alone))
        assert repr(reranker).endswith(f"(float32 with {name} on cpu))")
        assert reranker.settings["quantization"] == name


def test_what_a_device_cannot_is_told_before_loading(tiny_model, monkeypatch):
    """A quantisation that a device lacks is refused before a weight is read."""

    def refuse(name, device, dtype):
        raise InputError(f"quantization={name!r} cannot run on {device}")

    monkeypatch.setattr(instances, "check_quantization", refuse)
    monkeypatch.setattr(instances, "load_backbone", None)
    with Reranker(tiny_model, quantization="fp8", **OPTIONS) as reranker:
        with pytest.raises(InputError, match="cannot run on cpu"):
            reranker.warmup()


def test_weights_without_room_are_an_error_with_advice(tiny_model, monkeypatch):
    """A device that is too full for the weights is told as such, and what to do about it."""

    def fill(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 7.49 GiB.")

    monkeypatch.setattr(instances, "load_backbone", fill)
    with Reranker(tiny_model, max_batch_tokens=93, **OPTIONS) as reranker:
        with pytest.raises(ModelError, match=r"memory of cpu: .* quantization='int8-weights'"):
            reranker.warmup()


class Ahead:
    """The real model, made to work in a thread of its own, as it does on a card."""

    asynchronous = True

    def __init__(self, model):
        self.device = model.device
        self.most_under_way = 0
        self._model = model
        self._pool = ThreadPoolExecutor(1)
        self._under_way: list[Future] = []

    def start(self, pack):
        self._under_way = [one for one in self._under_way if not one.done()]
        self._under_way.append(self._pool.submit(self._model.logits, pack))
        self.most_under_way = max(self.most_under_way, len(self._under_way))
        return self._under_way[-1]


def test_the_real_model_ahead_of_its_results(tiny_model):
    """Packs that are started before the last one is done give each prompt its own logit."""
    files = read_checkpoint_files(tiny_model)
    row = torch.randn(files.config["hidden_size"], generator=torch.Generator().manual_seed(3))
    model = ScoringModel(load_backbone(files, CPU, torch.float32), row)
    ahead = Ahead(model)
    parts = [Part([i + 1] * (i % 4), [[i, j, 7] * (j + 1) for j in range(9)]) for i in range(12)]
    engine = Engine([ahead], 60)
    try:
        futures = []
        for prefix, suffixes in parts:
            futures.append(Future())
            engine.submit(prefix, suffixes, futures[-1])
        for part, future in zip(parts, futures, strict=True):
            expected = model.logits(build_pack([part], CPU))
            assert future.result(30) == pytest.approx(expected, abs=1e-4)
        assert ahead.most_under_way == 2
    finally:
        engine.close()
        ahead._pool.shutdown()
