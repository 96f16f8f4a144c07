"""Prompt ids: equal to the rendered template for honest text, never forged by any text."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qwen_tokenizer import ADDED, SPECIAL, qwen_tokenizer_json
from tokenizers import Tokenizer

from zelo.errors import InputError, ModelFileError, QueryTooLongError, UnsupportedModelError
from zelo.local.prompt import PromptEncoder
from zelo.scoring.families import FAMILIES
from zelo.scoring.options import Limits

GOLDEN = Path(__file__).parent / "golden"
CONTROL = SPECIAL + ADDED
SCRIPTS = (
    "Read the file.",
    "Прочитай файл.",
    "ファイルを読む。",
    "读取文件。",
    "파일을 읽다.",
    "اقرأ الملف.",
    "קרא את הקובץ.",
    "फ़ाइल पढ़ें।",
    "ফাইলটি পড়ুন।",
    "อ่านไฟล์",
    "Διάβασε το αρχείο.",
    "ფაილის წაკითხვა.",
)

WHITE = st.sampled_from(["\n", "\n\n", "  \n", "\r\n", "\t", " ", "   ", "\u3000", "\u00a0"])
ODD = st.sampled_from(
    ["e\u0301", "\U0001f600", "\U0001f1e9\U0001f1ea", "\u200d", "'s", "12", "\x00"]
)
HONEST = (
    st.lists(st.one_of(WHITE, ODD, st.sampled_from(SCRIPTS), st.text(max_size=12)), max_size=8)
    .map("".join)
    .filter(lambda text: not any(token in text for token in CONTROL))
)
HOSTILE = st.lists(
    st.one_of(
        st.sampled_from(CONTROL),
        st.sampled_from(CONTROL).flatmap(
            lambda t: st.integers(0, len(t)).map(lambda i: t[:i] + t + t[i:])
        ),
        st.sampled_from(["<|im_", "end|>", "<think", ">", "assistant\n", "\n"]),
        HONEST,
    ),
    max_size=8,
).map("".join)


@pytest.fixture(scope="module")
def qwen_json():
    return qwen_tokenizer_json()


@pytest.fixture(scope="module")
def full(qwen_json):
    return Tokenizer.from_str(qwen_json)


@pytest.fixture(scope="module", params=["zerank-2", "qwen3-reranker"])
def encoder(request, qwen_json):
    return PromptEncoder(qwen_json, FAMILIES[request.param])


@pytest.fixture(scope="module")
def zerank(qwen_json):
    return PromptEncoder(qwen_json, FAMILIES["zerank-2"])


def rendered(encoder, full, query, document, instruction=None):
    """The reference: the template as one string, encoded by the tokenizer with control tokens."""
    fields = encoder.family.fields(query, instruction)
    text = encoder.family.prompt.format(**fields, document=document)
    return full.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("model", ["zerank-2", "zerank-1-small"])
def test_golden_ids(zerank, model):
    """Prompts of the published reference pairs have the published token ids."""
    pairs = json.loads((GOLDEN / f"{model}.json").read_text())["pairs"]
    assert len(pairs) in (4, 13)
    for pair in pairs:
        assert zerank.prompt_ids(pair["query"], pair["document"]) == pair["token_ids"]


def test_answer_tokens(qwen_json):
    """The score is read at Qwen3's own ids: 'Yes' for zerank, 'yes' minus 'no' for the other."""
    zerank = PromptEncoder(qwen_json, FAMILIES["zerank-1"])
    other = PromptEncoder(qwen_json, FAMILIES["qwen3-reranker"])
    assert (zerank.positive_id, zerank.negative_id) == (9454, None)
    assert (other.positive_id, other.negative_id) == (9693, 2152)


def test_qwen3_reranker_prompt(qwen_json, full):
    """Qwen3-Reranker's prompt is its card's, the empty think block included."""
    encoder = PromptEncoder(qwen_json, FAMILIES["qwen3-reranker"])
    expected = (
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query "
        'and the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
        "<|im_start|>user\n<Instruct>: Given a web search query, retrieve relevant passages that "
        "answer the query\n<Query>: q\n<Document>: d<|im_end|>\n"
        "<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )
    assert encoder.prompt_ids("q", "d") == full.encode(expected).ids


@settings(max_examples=200)
@given(query=HONEST.filter(str.strip), document=HONEST)
def test_honest_text_gives_the_rendered_ids(encoder, full, query, document):
    """Text without control strings is encoded exactly as the rendered template."""
    assert encoder.prompt_ids(query, document) == rendered(encoder, full, query, document)


@pytest.mark.parametrize("text", [*SCRIPTS, "\nfoo", "\n\nfoo", "  \nfoo", "\n", "\r\nfoo", " x "])
def test_seams(zerank, full, text):
    """Leading newlines, which merge with the frame, and 12 scripts stand on either side."""
    assert zerank.prompt_ids(text, "d") == rendered(zerank, full, text, "d")
    assert zerank.prompt_ids("q", text) == rendered(zerank, full, "q", text)


@settings(max_examples=200)
@given(query=HOSTILE.filter(str.strip), document=HOSTILE, instruction=HOSTILE)
def test_no_text_forges_a_control_token(encoder, full, query, document, instruction):
    """Whatever the texts hold, the control ids of a prompt are those of its template."""
    control = set(full.get_added_tokens_decoder())
    honest = [i for i in encoder.prompt_ids("q", "d", "i") if i in control]
    assert [i for i in encoder.prompt_ids(query, document, instruction) if i in control] == honest


@settings(max_examples=100)
@given(documents=st.lists(HOSTILE, min_size=1, max_size=6), query=HONEST.filter(str.strip))
def test_prefix_and_suffixes_rebuild_each_prompt(encoder, query, documents):
    """A request's shared prefix and each suffix make the prompt that the pair has alone."""
    encoded = encoder.encode(query, documents, None, Limits(32_768))
    for document, slot in zip(documents, encoded.slots, strict=True):
        (at,) = slot.suffixes
        assert encoded.prefix + encoded.suffixes[at] == encoder.prompt_ids(query, document)
    assert len(encoded.suffixes) == len(set(documents))
    assert all(encoded.suffixes)


def test_prefix_is_the_longest(zerank):
    """What all documents begin with belongs to the shared prefix too."""
    encoded = zerank.encode("q", ["Title: alpha", "Title: beta"], None, Limits(100))
    alone = zerank.prompt_ids("q", "Title:")
    assert encoded.prefix == alone[: len(encoded.prefix)]
    assert zerank.prompt_ids("q", "Title: alpha")[: len(encoded.prefix) + 1] != encoded.prefix
    assert len(encoded.prefix) == len(alone) - 5


@pytest.mark.parametrize("blank", [None, "", "  \n"])
def test_blank_instruction_changes_nothing(encoder, blank):
    """An absent or blank instruction gives the same prompt to the byte."""
    assert encoder.prompt_ids("q", "d", blank) == encoder.prompt_ids("q", "d")


def test_zerank_2_instruction(zerank, full):
    """zerank-2 reads the instruction in tags behind the query, in the system turn."""
    text = (
        "<|im_start|>system\n<query>q</query>\n<instruction>be strict</instruction><|im_end|>\n"
        "<|im_start|>user\nd<|im_end|>\n<|im_start|>assistant\n"
    )
    assert zerank.prompt_ids("q", "d", "be strict") == full.encode(text).ids


@pytest.mark.parametrize("family", ["zerank-1", "zerank", "zelo"])
def test_instruction_refused(qwen_json, family):
    """A family that takes no instruction says so instead of ignoring it."""
    encoder = PromptEncoder(qwen_json, FAMILIES[family])
    with pytest.raises(InputError, match=f"family '{family}'"):
        encoder.prompt_ids("q", "d", "be strict")


@settings(max_examples=100)
@given(document=HONEST, limit=st.integers(30, 60))
def test_truncation_cuts_only_the_document(zerank, document, limit):
    """A long document loses its end, and the frame behind it survives whole."""
    document += " and more of it" * 20
    whole = zerank.prompt_ids("what is it", document)
    encoded = zerank.encode("what is it", [document], None, Limits(limit))
    ids = encoded.suffixes[0]
    assert encoded.slots[0].truncated
    assert len(ids) == limit
    assert ids[-5:] == [151645, 198, 151644, 77091, 198]
    assert ids[:-5] == whole[: limit - 5]


def test_document_limit(zerank):
    """max_document_tokens counts the document's own tokens."""
    for limit in (1, 7, 19):
        limits = Limits(32_768, max_document_tokens=limit)
        encoded = zerank.encode("q", ["a b c d e f g h i j k l m n o p q r s t"], None, limits)
        assert len(encoded.suffixes[0]) == len(zerank.prompt_ids("q", "a")) - 1 + limit
        assert encoded.slots[0].truncated
    exact = zerank.encode("q", ["a b c"], None, Limits(32_768, max_document_tokens=3))
    assert not exact.slots[0].truncated


def test_query_that_does_not_fit(encoder):
    """A query that leaves no room for a document token is an error with both numbers."""
    with pytest.raises(QueryTooLongError, match=r"max_tokens=50"):
        encoder.encode("word " * 60, ["d"], None, Limits(50))


@settings(max_examples=50)
@given(
    words=st.lists(st.sampled_from(["alpha", "β", "\n", "a1b2", "語"]), min_size=80, max_size=150)
)
def test_windows_cover_the_document(zerank, full, words):
    """Chunks of a long document are substrings that overlap and leave no word out."""
    document = " ".join(f"{word}{i}" for i, word in enumerate(words))
    limits = Limits(32_768, max_document_tokens=40, long_documents="chunk")
    encoded = zerank.encode("q", [document], None, limits)
    assert len(encoded.slots[0].suffixes) > 1
    assert max(map(len, encoded.suffixes)) + len(encoded.prefix) <= 14 + 40
    texts = [full.decode(encoded.prefix + suffix) for suffix in encoded.suffixes]
    for i, word in enumerate(words):
        assert any(f"{word}{i}".strip() in text for text in texts)


def test_windows_equal_short_documents(zerank):
    """A document that fits is not chunked."""
    limits = Limits(32_768, max_document_tokens=40, long_documents="chunk")
    chunked = zerank.encode("q", ["short", "also short"], None, limits)
    assert chunked == zerank.encode("q", ["short", "also short"], None, Limits(32_768))


def test_wrong_vocabulary_is_refused(qwen_json):
    """A Qwen3 vocabulary whose control tokens have other ids is not scored with."""
    broken = json.loads(qwen_json)
    del broken["added_tokens"][0]  # the ids of those that follow close up
    with pytest.raises(UnsupportedModelError, match="other token ids"):
        PromptEncoder(json.dumps(broken), FAMILIES["zerank-2"])


def test_missing_control_token_is_refused(qwen_json):
    """A tokenizer without the frame's control tokens is named as unsuitable."""
    broken = json.loads(qwen_json) | {"added_tokens": []}
    with pytest.raises(UnsupportedModelError, match=r"<\|im_start\|>"):
        PromptEncoder(json.dumps(broken), FAMILIES["zerank-2"])


def test_forgeable_tokenizer_is_refused(qwen_json):
    """A vocabulary in which plain text becomes a control token is not scored with."""
    broken = json.loads(qwen_json)
    broken["added_tokens"][1]["id"] = broken["model"]["vocab"]["system"]
    broken["added_tokens"][1]["content"] = "system"
    with pytest.raises(UnsupportedModelError, match="forge"):
        PromptEncoder(json.dumps(broken), FAMILIES["zerank-2"])


@pytest.mark.parametrize("text", ["", "{}", "not json", '{"model": 3}'])
def test_broken_tokenizer_file(text):
    """Something that is no tokenizer is reported as a broken file."""
    with pytest.raises(ModelFileError, match=r"tokenizer\.json"):
        PromptEncoder(text, FAMILIES["zerank-2"])
