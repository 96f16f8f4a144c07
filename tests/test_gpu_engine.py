"""The engine on real cards: overlapping packs, memory that runs out, all cards, compiled layers.

Everything but the card itself is tested in test_engine_workers.py and test_replicas.py.
"""

import pytest
import torch
from torch._dynamo.utils import counters

from zelo import Reranker
from zelo.scoring.options import ACCELERATOR_BATCH_TOKENS

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
QUERY = "how is the water of the river"
DOCUMENTS = [f"the water of bridge {i} " * (1 + i % 40) for i in range(400)]
TOLERANCE = 0.5
"""Of raw scores in bfloat16, which differ by several units between the documents."""


@pytest.fixture(scope="module")
def exact(tiny_model):
    """Raw scores in float32 on the CPU."""
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        yield reranker.score(QUERY, DOCUMENTS, scale="logit")


def workers(reranker):
    """What computes behind a reranker."""
    return reranker._scorer._instance.engine._workers


@pytest.mark.parametrize("compiled", [False, True])
def test_packs_that_overlap_give_the_right_scores(tiny_model, exact, compiled):
    """On a card the next pack is started before the last one is done; scores are the CPU's."""
    options = {"device": "cuda:0", "dtype": "bfloat16", "max_batch_tokens": 512}
    with Reranker(tiny_model, compile=compiled, **options) as reranker:
        found = reranker.score(QUERY, DOCUMENTS, scale="logit")
        assert found == pytest.approx(exact, abs=TOLERANCE)
        assert workers(reranker)[0]._ahead == 1
        assert reranker.stats().packs > 10


def test_free_memory_decides_on_packs(tiny_model):
    """A tiny model on an empty card gets the largest packs that are of use."""
    with Reranker(tiny_model, device="cuda:0") as reranker:
        reranker.warmup()
        assert workers(reranker)[0]._budget.usual == ACCELERATOR_BATCH_TOKENS


def test_a_card_that_is_full_costs_no_score(tiny_model, exact):
    """Packs that do not fit into a card's memory are halved, and later ones are small at once."""
    options = {"device": "cuda:0", "dtype": "float32", "max_batch_tokens": 10**6}
    with Reranker(tiny_model, **options) as reranker:
        reranker.warmup()
        torch.cuda.empty_cache()
        held = torch.cuda.memory_reserved(0) + (8 << 20)
        torch.cuda.set_per_process_memory_fraction(held / torch.cuda.mem_get_info(0)[1], 0)
        try:
            found = reranker.score(QUERY, DOCUMENTS, scale="logit")
            failed = reranker.stats().out_of_memory
            assert failed > 0
            assert found == pytest.approx(exact, abs=1e-2)
            reranker.score(QUERY, DOCUMENTS)
            assert reranker.stats().out_of_memory == failed
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, 0)


def test_every_card_has_a_copy(tiny_model, exact):
    """`all` puts the weights on each card of the machine, and all give the same scores."""
    options = {"device": "all", "dtype": "bfloat16", "max_batch_tokens": 512}
    with Reranker(tiny_model, **options) as reranker:
        reranker.warmup()
        cards = [worker.model.device for worker in workers(reranker)]
        assert cards == [torch.device("cuda", i) for i in range(torch.cuda.device_count())]
        for _ in range(3):
            found = reranker.score(QUERY, DOCUMENTS, scale="logit")
            assert found == pytest.approx(exact, abs=TOLERANCE)


def test_after_warming_up_nothing_is_compiled(tiny_model):
    """Calls of all kinds make no graph that warmup() had not made."""
    torch._dynamo.reset()
    counters.clear()
    options = {"device": "cuda:0", "dtype": "bfloat16", "compile": True}
    with Reranker(tiny_model, **options) as reranker:
        reranker.warmup()
        graphs = counters["stats"]["unique_graphs"]
        assert graphs > 0
        for count in (1, 2, 30, 400):
            reranker.score(QUERY, DOCUMENTS[:count])
            reranker.score("cold " * 700, DOCUMENTS[:count])
        reranker.rank_many([(f"bridge {i}", DOCUMENTS[i : i + 1 + i % 3]) for i in range(12)])
        assert counters["stats"]["unique_graphs"] == graphs
