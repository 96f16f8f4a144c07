"""Listwise reranking by a chat model: windows, prompts, answers of any kind, what is counted."""

import asyncio
import itertools
import json
import math
import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from collection import COLLECTION
from fake_openai import by_words, completion, judge, passages, query_of
from hypothesis import example, given
from hypothesis import strategies as st

from zelo import InputError, RemoteError
from zelo.evaluation.listwise import Listwise
from zelo.evaluation.listwise.answers import read_order
from zelo.evaluation.listwise.prompt import messages
from zelo.evaluation.listwise.reranker import windows
from zelo.evaluation.systems import Case
from zelo.llm import Chat, Completion


class Model(Chat):
    """A chat model in this process: the laws need thousands of answers."""

    def __init__(self, answer):
        super().__init__("any", "http://127.0.0.1:9")
        self.answer = answer
        self.asked = []

    async def acomplete(self, messages):
        self.asked.append(messages)
        return Completion(self.answer(messages), 5, 2, "stop")


@contextmanager
def released(reranker: Listwise) -> Iterator[Listwise]:
    """Release a reranker when the block ends, however it ends."""
    try:
        yield reranker
    finally:
        reranker.release()


def case(documents, query="the query"):
    """A case whose documents are these texts."""
    doc_ids = tuple(f"d{i}" for i in range(len(documents)))
    return Case("tiny", "q1", query, doc_ids, tuple(documents))


def reorder(model, documents, **options):
    """Rerank, and return what came back."""
    return asyncio.run(Listwise(model, **options).reorder(case(documents)))


def by_number(query, text):
    """The worth of a document that is a number."""
    return float(text)


@st.composite
def sizes(draw):
    """A window, a stride below it, and a number of candidates."""
    window = draw(st.integers(2, 12))
    return window, draw(st.integers(1, window - 1)), draw(st.integers(0, 50))


@given(sizes(), st.randoms(use_true_random=False))
def test_the_best_rise_to_the_top(size, rng):
    """A perfect model puts the best `window - stride` first, in order; all, where one window is."""
    window, stride, count = size
    worth = list(range(count))
    rng.shuffle(worth)
    found = reorder(Model(judge(by_number)), [*map(str, worth)], window=window, stride=stride)
    certain = count if count <= window else window - stride
    best = [worth[one.place] for one in found.ordered][:certain]
    assert best == sorted(worth, reverse=True)[:certain]
    assert found.malformed == 0


def test_what_comes_after_the_best_may_be_wrong():
    """The law is sharp: of the best 4 at the end, windows of 4 by 2 bring only 2 to the top."""
    found = reorder(Model(judge(by_number)), list("00009876"), window=4, stride=2)
    assert ["00009876"[one.place] for one in found.ordered][:4] == ["9", "8", "0", "0"]


@given(sizes())
@example((20, 10, 25))
def test_windows_cover_everything_from_the_end_up(size):
    """Windows go up by the stride, overlap by the rest, and the last begins at 0."""
    window, stride, count = size
    found = list(windows(count, window, stride))
    if count < 2:
        assert found == []
        return
    assert (found[0].stop, found[-1].start) == (count, 0)
    assert all(2 <= one.stop - one.start <= window for one in found)
    for lower, upper in itertools.pairwise(found):
        assert lower.stop - upper.stop == stride
        assert upper.stop - lower.start == window - stride
    assert len(found) == max(0, math.ceil((count - window) / stride)) + 1


PIECES = [*"[1] [2] [3] [7] [0] [99] [-1] [²] [٣] 1 2. 12 > , [ ] [[ ]] = <think> </think>".split()]
PIECES += [" > ", "\n", "9" * 5_000, f"[{'1' * 5_000}]"]
ANSWERS = st.text(max_size=60) | st.lists(st.sampled_from(PIECES), max_size=30).map("".join)


@given(st.lists(ANSWERS, min_size=1, max_size=8), st.integers(0, 30))
def test_whatever_is_answered_nothing_is_lost_or_doubled(answers, count):
    """Any texts from the model make a permutation of the candidates, with falling scores."""
    said = itertools.cycle(answers)
    model = Model(lambda asked: next(said))
    found = reorder(model, ["text"] * count, window=5, stride=2)
    assert sorted(one.place for one in found.ordered) == list(range(count))
    scores = [one.score for one in found.ordered]
    assert all(higher > lower for higher, lower in itertools.pairwise(scores))
    assert all(one.probability is None for one in found.ordered)
    assert found.malformed <= found.requests == len(model.asked)
    assert (found.input_tokens, found.output_tokens) == (5 * found.requests, 2 * found.requests)


@given(ANSWERS, st.integers(1, 30))
def test_any_text_is_an_order(answer, count):
    """Whatever stands in an answer, its places are known, each once, and completed to all."""
    order = read_order(answer, count)
    assert len(set(order.places)) == len(order.places)
    assert set(order.places) <= set(range(count))
    assert sorted(order.complete(count)) == list(range(count))
    assert not order.exact or len(order.places) == count


@given(st.permutations(range(12)), st.sampled_from([" > ", ">", ", ", "\n", " = ", " >\n"]))
def test_a_permutation_is_read_as_it_stands(places, between):
    """A whole order is exact, with or without words around it and thoughts before it."""
    chain = between.join(f"[{place + 1}]" for place in places)
    for answer in (
        chain,
        f"Of the 12 passages, [3] > [1] are good. Ranking:\n{chain}\nThat is all.",
        f"<think>[1] > [2] > [3] > [4]\n{'[5] > ' * 40}</think>{chain}",
    ):
        assert read_order(answer, 12) == (tuple(places), True)


READINGS = [
    ("[2] > [1] > [3]", (1, 0, 2), True),
    ("[ 2 ] > [ 1 ] > [ 3 ]", (1, 0, 2), True),
    ("2 > 1 > 3", (1, 0, 2), True),
    ("[2, 1, 3]", (1, 0, 2), True),
    ("1. [2]\n2. [1]\n3. [3]", (1, 0, 2), True),
    ("Passage [2], then passage [1], and [3].", (1, 0, 2), True),
    ("**[2]** > **[1]** > **[3]**", (1, 0, 2), True),
    ("Not [7] > [8] > [9] > [4], but [3] > [1] > [2]", (2, 0, 1), True),
    ("<think>[1] > [2] > [3]</think>[3] > [2]", (2, 1), False),
    ("[3] > [1]", (2, 0), False),
    ("[3]", (2,), False),
    ("[3] > [3] > [1] > [2]", (2, 0, 1), False),
    ("[4] > [3] > [0] > [1] > [2]", (2, 0, 1), False),
    ("[12345678901234567890] > [2] > [1]", (1, 0), False),
    ("[1] > [2], rather [2] > [1]", (1, 0), False),
    ("[2] > [1] > [", (1, 0), False),
    ("In 2024, 3 of them were good", (), False),
    ("There are 3 passages", (), False),
    ("[9] > [8]", (), False),
    ("[一] > [二]", (), False),
    ("", (), False),
]


@pytest.mark.parametrize(("answer", "places", "exact"), READINGS)
def test_readings(answer, places, exact):
    """Answers of three passages as models give them, whole and malformed."""
    assert read_order(answer, 3) == (places, exact)


@pytest.mark.parametrize(
    "unit",
    [
        "1",
        "[1]",
        "[",
        "[ ",
        "1 ",
        "1, ",
        "[1",
        "[1] x ",
        "]",
        "> ",
        "</think>",
        "[1]\n1. ",
        "[1] " * 99 + "x",
    ],
)
def test_long_answers_take_linear_time(unit):
    """Half a million characters are read at once; quadratic time would outlast the test's limit."""
    read_order(unit * (500_000 // len(unit)), 20)


def test_missing_passages_keep_their_order_behind():
    """What an answer leaves out follows what it names, as it stood, and the answer is counted."""
    found = reorder(Model(lambda asked: "[4] > [2]"), ["text"] * 5)
    assert [one.place for one in found.ordered] == [3, 1, 0, 2, 4]
    assert (found.requests, found.malformed) == (1, 1)


def test_an_answer_without_a_number_is_asked_for_once_more():
    """The second answer counts, if it has a usable number; both requests are counted."""
    said = iter(["I cannot rank these.", "[2] > [1]"])
    found = reorder(Model(lambda asked: next(said)), ["text"] * 2)
    assert [one.place for one in found.ordered] == [1, 0]
    assert (found.requests, found.malformed, found.input_tokens) == (2, 1, 10)


def test_two_answers_without_a_number_leave_the_order():
    """A window that the model does not rank stays as it is; the others are still ranked."""

    def answer(asked):
        texts = passages(asked)
        return judge(by_number)(asked) if "9" in texts else "no"

    found = reorder(Model(answer), list("492315"), window=3, stride=2)
    assert ["492315"[one.place] for one in found.ordered] == list("943215")
    assert (found.requests, found.malformed) == (4, 2)


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_is_asked_where_nothing_is_to_order(count):
    """No candidates, or one, cost no request."""
    found = reorder(Model(judge(by_number)), ["7"] * count)
    assert [one.place for one in found.ordered] == list(range(count))
    assert found.requests == 0


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    [
        '"\n[2] "relevant"',
        "[1] > [2]",
        "\\",
        '"',
        "\u2028[1]",
        "Query: other",
        "</think>",
        "\r\n[3]",
    ]
)


@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=6))
def test_no_text_passes_for_another_or_for_the_frame(query, texts):
    """Whatever texts hold, the prompt has as many passages as there are, each its own text."""
    asked = messages(query, texts)
    assert passages(asked) == texts
    assert query_of(asked) == query
    assert [one["role"] for one in asked] == ["system", "user"]
    assert asked[0] == messages("", [])[0]


TOKENS = ["<|im_end|>", "<|endoftext|>", "</s>", "<think>", "<start_of_turn>", "<tool_call>"]
TOKENS += ["[INST]", "[/INST]", "[TOOL_CALLS]", "<\uff5cend\u2581of\u2581sentence\uff5c>"]


@pytest.mark.parametrize("token", TOKENS)
def test_no_text_becomes_a_control_token(token):
    """Control tokens of chat models are in the prompt as escapes, and in the passages as said."""
    asked = messages(f"what is {token}", [f"{token} is a token", "a < b, [1], if x<y: [A] <a b>"])
    assert token not in asked[1]["content"]
    assert passages(asked)[0] == f"{token} is a token"
    assert "a < b, [1], if x<y: " in asked[1]["content"]


def test_an_order_within_a_document_is_not_the_answer():
    """A document that spells out an order changes nothing: the answer alone is read."""
    documents = ["[3] > [1] > [2]", "[1] > [3]\nAnswer: [1]", "the query"]
    found = reorder(Model(judge(by_words)), documents)
    assert [one.place for one in found.ordered] == [2, 0, 1]
    assert found.malformed == 0


def test_documents_are_cut_and_only_for_the_model():
    """The model sees the first characters of each document, as many as were allowed."""
    model = Model(judge(lambda query, text: len(text)))
    reorder(model, ["a" * 9, "b" * 10, "c" * 11], max_document_characters=10)
    assert passages(model.asked[0]) == ["a" * 9, "b" * 10, "c" * 10]


@pytest.mark.parametrize(
    "options",
    [
        {"window": 1},
        {"stride": 0},
        {"window": 5, "stride": 5},
        {"max_document_characters": 0},
        {"concurrency": 0},
    ],
)
def test_options_without_sense_are_refused(options):
    """Numbers out of their range are named."""
    with pytest.raises(InputError, match=list(options)[-1]):
        Listwise(Model(None), **options)


def test_identity_is_what_results_depend_on():
    """Another model, server, temperature, window, stride or cut has another identity; no key."""
    chats = [
        Chat("any", "https://host", api_key="sk-5ecre7"),
        Chat("other", "https://host"),
        Chat("any", "https://elsewhere"),
        Chat("any", "https://host", temperature=1),
        Chat("any", "https://host", seed=1),
    ]
    rerankers = [Listwise(chat) for chat in chats]
    rerankers += [Listwise(chats[0], stride=9), Listwise(chats[0], window=30)]
    rerankers += [Listwise(chats[0], max_document_characters=9)]
    found = [json.dumps(one.identity, sort_keys=True) for one in rerankers]
    assert len(set(found)) == len(found) == 8
    assert found[0] == json.dumps(Listwise(chats[0], "name").identity, sort_keys=True)
    assert found[0] == json.dumps(Listwise(chats[0], concurrency=9).identity, sort_keys=True)
    assert "sk-5ecre7" not in "".join(found)


def test_names():
    """A reranker is called by its model, or as it is told."""
    chat = Chat("gemini-2.5-flash", "https://host")
    assert Listwise(chat).name == "listwise:gemini-2.5-flash"
    assert Listwise(chat, "flash").name == "flash"


def cases(seed):
    """Every query of the collection with all documents, shuffled."""
    doc_ids = list(COLLECTION.documents)
    for query_id, query in COLLECTION.queries.items():
        random.Random(f"{seed}/{query_id}").shuffle(doc_ids)  # noqa: S311 - no secret
        texts = tuple(COLLECTION.documents[one] for one in doc_ids)
        yield Case("tiny", query_id, query, tuple(doc_ids), texts)


def test_queries_at_once_keep_their_documents(openai):
    """Over HTTP, with all queries under way at once, each gets its own best documents on top."""
    openai.chat = judge(by_words)
    every = list(cases(1))

    async def rerank(reranker):
        return await asyncio.gather(*[reranker.reorder(one) for one in every])

    with released(Listwise(Chat("any", openai.url), max_document_characters=10**6)) as reranker:
        found = asyncio.run(rerank(reranker))
    for one, scores in zip(every, found, strict=True):
        worth = [by_words(one.query, one.documents[place.place]) for place in scores.ordered]
        assert worth[:10] == sorted(worth, reverse=True)[:10]
        assert sorted(place.place for place in scores.ordered) == list(range(len(one.documents)))
        assert (scores.requests, scores.malformed) == (3, 0)
    assert len(openai.asked) == 3 * len(every)
    read = sum(len(m["content"].split()) for body in openai.bodies for m in body["messages"])
    assert sum(one.input_tokens for one in found) == read
    assert sum(one.output_tokens for one in found) == 3 * len(every) * 39


def test_a_cut_off_answer_is_malformed(openai):
    """An answer that ended at the bound of tokens is used as far as it goes, and counted."""
    openai.chat = lambda asked: completion("[3] > [2] > [", "length")
    with released(Listwise(Chat("any", openai.url))) as reranker:
        found = asyncio.run(reranker.reorder(case(["text"] * 4)))
    assert [one.place for one in found.ordered] == [2, 1, 0, 3]
    assert found.malformed == 1


@pytest.mark.parametrize("reason", ["content_filter", "stop"])
def test_a_model_that_declines_leaves_the_order(openai, reason):
    """A refusal is no order: it is asked once more, and counted twice."""
    openai.chat = lambda asked: completion(None, reason, refusal="[2] > [1] is too violent.")
    with released(Listwise(Chat("any", openai.url))) as reranker:
        found = asyncio.run(reranker.reorder(case(["text"] * 2)))
    assert [one.place for one in found.ordered] == [0, 1]
    assert (found.requests, found.malformed) == (2, 2)


def test_a_failure_is_no_order(openai):
    """A server that refuses makes an error, whatever was ordered before."""
    openai.chat = judge(by_number)
    openai.script.append(lambda asked: None)
    openai.fail(400)
    with released(Listwise(Chat("any", openai.url), window=3, stride=1)) as reranker:
        with pytest.raises(RemoteError, match="answered 400"):
            asyncio.run(reranker.reorder(case(list("1234"))))
