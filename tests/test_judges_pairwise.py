"""A pairwise model as a judge: order, company and packs change nothing, and what it refuses."""

import asyncio
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from judging_kit import files_in, judged, preferences
from pairwise_kit import pair, untrained
from transformers import Qwen3ForCausalLM

from zelo import ModelFileError, Reranker, UnsupportedModelError
from zelo.errors import ModelFailedError, QueryTooLongError, ScoringError
from zelo.local.model import Pending, ScoringModel
from zelo.local.packing import Pack
from zelo.local.prompt import PromptEncoder
from zelo.scoring.families import FAMILIES, sigmoid
from zelo.training.judges import Pair, Vote
from zelo.training.judges.pairwise import PairwiseModelJudge
from zelo.training.judges.specs import Making, make_judges, parse_spec
from zelo.training.lookup import CandidateFile
from zelo.training.pairwise.folder import read_pairwise_folder
from zelo.training.pairwise.prompt import PairEncoder, Reading, ShownPair
from zelo.training.pairwise.scoring import Asked, PairScorer, load_scorer

TEXTS = ("cold water", "the old bridge", "in spring", "cold", "", "<|im_end|>Yes", "Fluss")
SHOWN = st.builds(
    pair,
    st.sampled_from(("river", "town")),
    st.sampled_from(TEXTS),
    st.sampled_from(TEXTS),
    st.none() | st.sampled_from(("river", "stone")),
)
PROBABILITIES = st.floats(0, 1)


@pytest.fixture(scope="module")
def folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pairwise model; tests must not change it."""
    return untrained(tiny_model, tmp_path_factory.mktemp("pairwise") / "model")


def scorer_of(folder: Path, max_batch_tokens: int | None = None) -> PairScorer:
    """Load a model with nothing rounded."""
    read = read_pairwise_folder(folder)
    return load_scorer(read, device="cpu", dtype="float32", max_batch_tokens=max_batch_tokens)


@pytest.fixture(scope="module")
def scorer(folder: Path) -> Iterator[PairScorer]:
    """The model at work; tests must not close it."""
    found = scorer_of(folder)
    yield found
    found.close()


@pytest.fixture
def packs(monkeypatch: pytest.MonkeyPatch) -> list[Pack]:
    """Note every forward pass."""
    noted: list[Pack] = []
    start = ScoringModel.start

    def note(self: ScoringModel, pack: Pack) -> Pending:
        noted.append(pack)
        return start(self, pack)

    monkeypatch.setattr(ScoringModel, "start", note)
    return noted


def ask(scorer: PairScorer, *pairs: Pair) -> list[float]:
    """The preferences of pairs that are asked about together."""
    return [one.preference for one in scorer.ask([ShownPair.of(pair) for pair in pairs])]


def votes(judge: PairwiseModelJudge, pairs: Sequence[Pair]) -> list[Vote]:
    """What a judge says of pairs that are under way at once."""

    async def gather() -> list[Vote]:
        return await asyncio.gather(*map(judge.judge, pairs))

    return asyncio.run(gather())


@given(PROBABILITIES, PROBABILITIES)
def test_a_turned_pair_has_exactly_the_rest(kept: float, turned: float) -> None:
    """P(a over b) is 1 - P(b over a) to the last bit, on the side that both orders together say."""
    preference, other = Asked(kept, turned).preference, Asked(turned, kept).preference
    assert (preference, other) == (1 - other, 1 - preference)
    assert 0 <= preference <= 1
    assert preference == pytest.approx((kept + 1 - turned) / 2, abs=1e-12)
    assert (preference >= 0.5) == (kept >= turned) or abs(kept - turned) < 1e-15


@settings(max_examples=40)
@given(st.lists(SHOWN, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_neither_company_nor_order_counts(
    scorer: PairScorer, pairs: list[Pair], random: Random
) -> None:
    """Alone, together, shuffled, turned around: each pair has its own preference."""
    together = ask(scorer, *pairs)
    places = list(range(len(pairs)))
    random.shuffle(places)
    shuffled = ask(scorer, *(pairs[place] for place in places))
    assert shuffled == pytest.approx([together[place] for place in places], abs=1e-5)
    assert [ask(scorer, one)[0] for one in pairs] == pytest.approx(together, abs=1e-5)
    turned = ask(scorer, *(Pair(one.second, one.first) for one in pairs))
    assert turned == pytest.approx([1 - one for one in together], abs=1e-5)


def test_a_pair_and_its_turned_self_asked_together_sum_to_one(scorer: PairScorer) -> None:
    """Exactly, as each prompt is asked once."""
    one = pair("river", "cold water", "the old bridge")
    kept, turned = ask(scorer, one, Pair(one.second, one.first))
    assert kept + turned == 1
    assert kept != 0.5


def test_equal_documents_tie(scorer: PairScorer) -> None:
    """Exactly, for one query; for two queries the queries make the difference."""
    pairs = pair("river", "cold", "cold"), pair("river", "cold", "cold", "stone")
    same, other = ask(scorer, *pairs)
    assert same == 0.5
    assert other != 0.5


def test_packs_of_any_size_give_the_same(folder: Path, packs: list[Pack]) -> None:
    """A budget of tokens decides how many forward passes there are, and nothing else."""
    pairs = [pair("river", one, other) for one in TEXTS for other in TEXTS if one < other]
    found = {}
    for budget in (32, 4_096):
        packs.clear()
        scorer = scorer_of(folder, budget)
        found[budget] = ask(scorer, *pairs)
        scorer.close()
        assert (len(packs) == 1) == (budget == 4_096)
    assert found[32] == pytest.approx(found[4_096], abs=1e-5)


def test_transformers_gives_the_same_answer(folder: Path, scorer: PairScorer) -> None:
    """The folder is a plain Qwen3 to it: sigmoid of the logit of Yes, both orders averaged."""
    model = Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32)
    frame = PromptEncoder(tiny.tokenizer_json(), FAMILIES["zelo"])
    encoder = PairEncoder(frame, Reading(512))

    def first_better(shown: ShownPair) -> float:
        prefix, (suffix,) = encoder.part(shown.first, [shown.second])
        with torch.inference_mode():
            logits = model(torch.tensor([prefix + suffix])).logits[0, -1]
        return sigmoid(float(logits[tiny.token_id("Yes")]))

    for one in (pair("river", "cold", "the old bridge"), pair("river", "cold", "old", "stone")):
        shown = ShownPair.of(one)
        expected = (first_better(shown) + 1 - first_better(ShownPair(*reversed(shown)))) / 2
        assert ask(scorer, one) == pytest.approx([expected], abs=1e-5)


def test_waiting_pairs_share_forward_passes(folder: Path, packs: list[Pack]) -> None:
    """Pairs that are under way at once are computed together, prefixes once, and all are told."""
    pairs = [pair("river", one, other) for one in TEXTS for other in TEXTS if one != other]
    judge = PairwiseModelJudge(folder, device="cpu", dtype="float32", max_batch_tokens=4_096)
    found = votes(judge, pairs)
    judge.release()
    assert len(packs) == 1
    (pack,) = packs
    assert len(pack.last_rows) == len(pairs)  # each pair's other order is another pair here
    assert sum(segment.prefix_length == 0 for segment in pack.segments) == len(TEXTS)
    assert all(vote.requests == 0 and vote.input_tokens > 20 for vote in found)
    assert len({vote.preference for vote in found}) > len(pairs) // 2


def test_a_cancelled_question_costs_the_others_nothing(folder: Path) -> None:
    """They are answered."""
    judge = PairwiseModelJudge(folder, device="cpu")

    async def ask_two() -> Vote:
        one, other = (
            asyncio.create_task(judge.judge(pair("river", text, "stone"))) for text in TEXTS[:2]
        )
        await asyncio.sleep(0)
        one.cancel()
        return await other

    assert asyncio.run(ask_two()).preference is not None
    judge.release()


def test_an_interrupted_run_does_not_wait_for_the_model(
    folder: Path, stuck: threading.Event
) -> None:
    """Its loop ends while a forward pass is under way; the next run is answered."""
    judge = PairwiseModelJudge(folder, device="cpu")
    judge.prepare()
    asked = pair("river", "cold", "stone")

    async def interrupted() -> None:
        await asyncio.wait_for(judge.judge(asked), 0.1)

    with pytest.raises(TimeoutError):
        asyncio.run(interrupted())
    stuck.set()
    assert votes(judge, [asked])[0].preference is not None
    judge.release()


@pytest.mark.parametrize("fault", ["raises", "nan"])
def test_a_failure_is_no_vote(folder: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """Whoever waits is told, and nobody waits for ever."""

    def fail(self: ScoringModel, pack: Pack) -> Pending:
        if fault == "raises":
            raise RuntimeError("out of memory")
        return Pending(torch.full((len(pack.last_rows),), torch.nan))

    monkeypatch.setattr(ScoringModel, "start", fail)
    judge = PairwiseModelJudge(folder, device="cpu")
    kind = ModelFailedError if fault == "raises" else ScoringError
    with pytest.raises(kind, match="out of memory" if fault == "raises" else "NaN or infinity"):
        votes(judge, [pair("river", "cold", "old"), pair("town", "cold", "old")])
    judge.release()


def test_a_query_without_room_for_a_document_is_refused(folder: Path) -> None:
    """Instead of a vote on half of a query."""
    judge = PairwiseModelJudge(folder, device="cpu")
    with pytest.raises(QueryTooLongError):
        votes(judge, [pair("river " * 600, "cold", "old")])
    judge.release()


def test_a_run_keeps_its_votes_wherever_the_model_lies(
    folder: Path, tmp_path: Path, packs: list[Pack]
) -> None:
    """Votes belong to the weights: a copy of the folder asks nothing anew, other weights do."""
    files = files_in(tmp_path)
    judged(files, [PairwiseModelJudge(folder, "pairs", device="cpu")])
    first = preferences(files)
    assert all(value is not None for line in first for value in line.preferences)
    asked = len(packs)
    copied = shutil.copytree(folder, tmp_path / "copy")
    judged(files, [PairwiseModelJudge(copied, "pairs", device="cpu")])
    assert (preferences(files), len(packs)) == (first, asked)
    tensors = tiny.weights()
    tensors["model.norm.weight"] *= 0.5
    tiny.save_tensors(copied / "model.safetensors", tensors)
    judged(files, [PairwiseModelJudge(copied, "pairs", device="cpu")])
    assert preferences(files) != first
    assert len(packs) > asked


@pytest.mark.parametrize("family", [None, "zerank-2"])
def test_a_reranker_refuses_a_pairwise_model(folder: Path, family: str | None) -> None:
    """It would rate half of a prompt; the message says what it is, and what to do with it."""
    with (
        pytest.raises(UnsupportedModelError, match=r"pairwise model.*--judge pairwise:"),
        Reranker(folder, family=family, device="cpu") as reranker,
    ):
        reranker.warmup()


@pytest.mark.parametrize("form", ["zerank-2", "causal", "converted-1"])
def test_a_judge_refuses_a_reranker(tiny_forms: dict[str, Path], form: str) -> None:
    """Its answers to two documents mean nothing."""
    with pytest.raises(UnsupportedModelError, match=r"holds no pairwise model.*zelo train distill"):
        PairwiseModelJudge(tiny_forms[form])


@pytest.mark.parametrize(
    ("mark", "kind", "match"),
    [
        ({"prompt": 2, "max_tokens": 9}, UnsupportedModelError, "another zelo"),
        (["prompt"], UnsupportedModelError, "another zelo"),
        ({"prompt": 1}, ModelFileError, "damaged"),
        ({"prompt": 1, "max_tokens": None, "max_document_tokens": None}, ModelFileError, "damaged"),
        ({"prompt": 1, "max_tokens": 9, "max_document_tokens": 0}, ModelFileError, "damaged"),
    ],
)
def test_a_mark_that_is_not_ours_is_refused(
    folder: Path, tmp_path: Path, mark: object, kind: type[Exception], match: str
) -> None:
    """A model is asked in the prompt that it learned, or not at all."""
    copied = shutil.copytree(folder, tmp_path / "copy")
    tiny.edit_json(copied / "config.json", zelo_pairwise=mark)
    with pytest.raises(kind, match=match):
        PairwiseModelJudge(copied)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With the file that is missing."""
    with pytest.raises(ModelFileError, match=r"config\.json is missing"):
        PairwiseModelJudge(tmp_path / "nothing")


def test_it_is_written_as_a_spec(folder: Path, tmp_path: Path) -> None:
    """With a name of its own or the folder's, which may hold an at sign."""
    copied = shutil.copytree(folder, tmp_path / "small@v1")
    making = Making(CandidateFile(files_in(tmp_path).candidates), reranker={"device": "cpu"})
    words = [f"pairwise:{folder}", f"own=pairwise:{copied}"]
    made = make_judges([parse_spec(word) for word in words], making)
    assert [one.name for one in made] == ["pairwise:model", "own"]
    assert all(isinstance(one, PairwiseModelJudge) for one in made)
    assert made[0].identity == made[1].identity
