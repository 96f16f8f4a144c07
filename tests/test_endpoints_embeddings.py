"""Embeddings: each text's own vector, whatever the order, coding and size of the answers."""

import asyncio
import base64
import json
from contextlib import closing

import numpy as np
import pytest
from fake_openai import vector
from hypothesis import given, settings
from hypothesis import strategies as st

from zelo import InputError, RemoteAnswerError, RemoteError
from zelo.llm import Embeddings

every_way = pytest.mark.parametrize("way", ["waiting", "awaiting"])
TEXTS = ["the water is cold", "stone bridges", "a file"]


def embed(way, model, texts=TEXTS):
    """Embed, blocking or awaiting."""
    if way == "waiting":
        return model.embed(texts)
    return asyncio.run(model.aembed(texts))


def listed(*vectors, **usage):
    """An answer that holds these vectors, in this order."""
    data = [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors)]
    return {"object": "list", "data": data, "usage": usage}


@every_way
@settings(max_examples=25)
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=80))
def test_every_text_gets_its_own_vector(running_openai, way, texts):
    """Row i is the vector of text i, in float32, however many requests it takes."""
    with closing(Embeddings("any", running_openai.url)) as model:
        found = embed(way, model, texts)
    assert found.dtype == np.float32
    assert found.shape == ((len(texts), 4) if texts else (0, 0))
    assert found.tolist() == [vector(text) for text in texts]


@every_way
def test_nothing_is_asked_for_no_texts(openai, way):
    """No texts make an array without rows, of the dimensions that were asked for."""
    with closing(Embeddings("any", openai.url, dimensions=2)) as model:
        assert embed(way, model, []).shape == (0, 2)
    assert openai.asked == []


@every_way
def test_requests_are_bounded_by_count_and_size(openai, way):
    """No request has more than 32 texts or, beyond a single text, 200,000 bytes."""
    texts = ["short"] * 70 + ["x" * 90_000] * 5 + ["y" * 300_000]
    with closing(Embeddings("any", openai.url)) as model:
        found = embed(way, model, texts)
    assert found[:, 0].tolist() == [len(text) for text in texts]
    inputs = [body["input"] for body in openai.bodies]
    assert sum(map(len, inputs)) == len(texts)
    assert max(map(len, inputs)) == 32
    assert all(len(one) == 1 or sum(map(len, one)) <= 200_000 for one in inputs)


@every_way
def test_few_requests_at_a_time(openai, way):
    """A call's requests are under way side by side, but never more than four."""
    openai.pause = 0.1
    with closing(Embeddings("any", openai.url)) as model:
        embed(way, model, ["text"] * 32 * 8)
    assert len(openai.asked) == 8
    assert 2 <= openai.most <= 4


@every_way
def test_the_order_is_the_indexs(openai, way):
    """Vectors go to their texts by `index`, not by where they stand in the answer."""
    answer = listed([1.0, 0.0], [0.0, 1.0], [0.5, 0.5])
    answer["data"].reverse()
    openai.answer(answer)
    with closing(Embeddings("any", openai.url)) as model:
        assert embed(way, model).tolist() == [[1, 0], [0, 1], [0.5, 0.5]]


@every_way
def test_a_missing_index_is_the_place(openai, way):
    """A server that leaves out a zero, or every index, means the order of the answer."""
    answer = listed([1.0, 0.0], [0.0, 1.0], [0.5, 0.5])
    del answer["data"][0]["index"]
    openai.answer(answer)
    with closing(Embeddings("any", openai.url)) as model:
        assert embed(way, model).tolist() == [[1, 0], [0, 1], [0.5, 0.5]]


@every_way
def test_numbers_are_as_good_as_base64(openai, way):
    """Base64 is asked for; a server that sends numbers all the same gives the same vectors."""
    openai.answer(listed(*[[*vector(text)[:3], 1] for text in TEXTS]))
    with closing(Embeddings("any", openai.url)) as model:
        found = embed(way, model)
    assert openai.bodies[0]["encoding_format"] == "base64"
    assert found.tolist() == [[*vector(text)[:3], 1] for text in TEXTS]


def packed(*numbers):
    """A vector in base64."""
    return base64.b64encode(np.array(numbers, dtype="<f4").tobytes()).decode()


GOOD = [1.0, 2.0]
UNUSABLE = {
    "too few": listed(GOOD, GOOD),
    "too many": listed(GOOD, GOOD, GOOD, GOOD),
    "one twice": {"data": [{"index": i, "embedding": GOOD} for i in (0, 1, 1)]},
    "one more, twice": {"data": [{"index": i, "embedding": GOOD} for i in (0, 1, 2, 2)]},
    "one of nobody": {"data": [{"index": i, "embedding": GOOD} for i in (0, 1, 3)]},
    "a negative index": {"data": [{"index": i, "embedding": GOOD} for i in (0, 1, -1)]},
    "an index in words": {"data": [{"index": str(i), "embedding": GOOD} for i in range(3)]},
    "NaN": listed(GOOD, [1.0, float("nan")], GOOD),
    "infinity": listed(GOOD, [1.0, float("inf")], GOOD),
    "too large for float32": listed(GOOD, [1.0, 1e300], GOOD),
    "too large for any float": listed(GOOD, [1.0, 10**400], GOOD),
    "NaN in base64": listed(packed(1, 2), packed(1, float("nan")), packed(1, 2)),
    "half a number": listed(packed(1, 2), base64.b64encode(b"12345").decode(), packed(1, 2)),
    "no base64": listed(packed(1, 2), f"{packed(1, 2)}%", packed(1, 2)),
    "no ASCII": listed(packed(1, 2), "éééé", packed(1, 2)),
    "empty": listed([], [], []),
    "different lengths": listed(GOOD, [1.0], GOOD),
    "numbers in words": listed(GOOD, ["1", "2"], GOOD),
    "truth": listed(GOOD, [True, False], GOOD),
    "nothing": listed(GOOD, None, GOOD),
    "no list": {"data": "vectors"},
    "no data": {"error": {"message": "busy"}},
}


@every_way
@pytest.mark.parametrize("what", UNUSABLE)
def test_an_unusable_answer_is_no_vector(openai, way, what):
    """An answer that is not one finite vector of one length for each text raises."""
    openai.answer(json.dumps(UNUSABLE[what]))
    with closing(Embeddings("any", openai.url)) as model:
        with pytest.raises(RemoteAnswerError, match="/v1/embeddings: "):
            embed(way, model)


@every_way
def test_lengths_may_not_change_between_requests(openai, way):
    """Vectors of another length in a later request raise, too."""
    openai.embed = lambda text: [0.5] * len(text)
    with closing(Embeddings("any", openai.url)) as model:
        with pytest.raises(RemoteAnswerError, match="different lengths"):
            embed(way, model, ["aa"] * 32 + ["bbb"] * 32)


@every_way
def test_dimensions_are_asked_for_and_checked(openai, way):
    """`dimensions` is sent; vectors of another length than asked for raise."""
    with closing(Embeddings("any", openai.url, dimensions=3)) as model:
        assert embed(way, model).tolist() == [vector(text)[:3] for text in TEXTS]
        openai.answer(listed(GOOD, GOOD, GOOD))
        with pytest.raises(RemoteAnswerError, match="3 dimensions"):
            embed(way, model)
    assert openai.bodies[0]["dimensions"] == 3


@every_way
def test_a_model_that_cannot_shorten_says_so(openai, way):
    """A refused `dimensions` is named in the error, and vectors of another length not taken."""
    openai.unsupported = frozenset({"dimensions"})
    with closing(Embeddings("any", openai.url, dimensions=3)) as model:
        with pytest.raises(RemoteError, match="does not take 'dimensions'"):
            embed(way, model)


@every_way
def test_tokens_are_summed(openai, way):
    """The tokens of all requests of all calls are counted."""
    with closing(Embeddings("any", openai.url)) as model:
        embed(way, model, ["two words"] * 40)
        assert model.input_tokens == 80
        embed(way, model, TEXTS)
        assert model.input_tokens == 88


@every_way
def test_a_failed_request_fails_the_call(openai, way):
    """No vectors come back where one of the requests failed for good."""
    openai.script.extend([lambda asked: None] * 2)
    openai.fail(400)
    with closing(Embeddings("any", openai.url)) as model:
        with pytest.raises(RemoteError, match="answered 400"):
            embed(way, model, ["text"] * 32 * 6)


@every_way
def test_an_empty_text_is_the_servers_to_refuse(openai, way):
    """The error of a text that the API does not take says what may be the cause."""
    with closing(Embeddings("any", openai.url)) as model:
        with pytest.raises(RemoteError, match="no text empty"):
            embed(way, model, ["text", ""])


def test_dimensions_are_positive():
    """A number of dimensions that no vector has is refused."""
    with pytest.raises(InputError, match="dimensions"):
        Embeddings("any", "http://127.0.0.1:9", dimensions=0)


def test_identity_is_what_vectors_depend_on(openai):
    """Model, server and dimensions are told, and no key."""
    with closing(Embeddings("any", openai.url, api_key="sk-1")) as model:
        assert model.identity == {
            "model": "any",
            "server": f"{openai.url}/v1",
            "dimensions": None,
        }
