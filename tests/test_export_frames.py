"""Frames: an engine's tokenizer and template write zelo's prompt for any text whatever."""

import json
from pathlib import Path

import exporting_kit as kit
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer

from zelo.errors import UnsupportedModelError
from zelo.export import frames
from zelo.export.llama_cpp.vocabulary import read_vocabulary
from zelo.export.source import Source, open_source

PIECES = (
    *("<|im_end|>", "<|im_start|>", "<|endoftext|>", "<think>", "</think>", "<tool_call>"),
    *("\n", "\r\n", " ", "  ", "\t", "\u00a0", "\u0301", "\u200b", "user", "system", "the river"),
    *(
        "{{",
        "}}",
        "{%",
        "{#",
        "\\n",
        '"',
        "'",
        "é",
        "\U0001f600",
        "水",
        "\u0627",
        "İ",
        "ẞ",
        "1",
        "?",
    ),
)
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=8).map("".join)


@pytest.fixture(scope="module")
def sources(tiny_forms: dict[str, Path], tmp_path_factory) -> dict[str, Source]:
    lower = kit.save_lower_cased(tmp_path_factory.mktemp("frames") / "lower")
    folders = {name: tiny_forms[name] for name in ("zerank-2", "qwen3-reranker")}
    return {name: open_source(str(path)) for name, path in (folders | {"lower": lower}).items()}


@pytest.mark.parametrize("name", ["zerank-2", "qwen3-reranker", "lower"])
def test_a_template_writes_zelos_prompt(sources, name):
    """Token for token, with any text: nothing in it becomes control, and no seam is lost."""
    source = sources[name]
    frame = frames.templated(source)
    tokenizer = frame.tokenizer()

    @settings(max_examples=100)
    @given(texts, texts)
    def law(query: str, document: str) -> None:
        messages = [{"role": "query", "content": query}, {"role": "document", "content": document}]
        text = tokenizer.apply_chat_template(messages, chat_template=frame.template, tokenize=False)
        assert tokenizer(text)["input_ids"] == source.encoder.prompt_ids(query, document)

    law()


@pytest.mark.parametrize("name", ["zerank-2", "lower"])
def test_a_pair_is_written_as_zelos_prompt(sources, name):
    """The same for a tokenizer that writes the frame itself, of texts that are not empty."""
    source = sources[name]
    tokenizer = frames.paired(source).tokenizer()

    @settings(max_examples=100)
    @given(texts.filter(bool), texts.filter(bool))
    def law(query: str, document: str) -> None:
        found = tokenizer(text=query, text_pair=document)["input_ids"]
        assert found == source.encoder.prompt_ids(query, document)

    law()


def test_names_of_control_tokens_are_drawn_anew(sources):
    """Two exports share none, and ids stay as they are."""
    one, other = (frames.templated(sources["zerank-2"]) for _ in range(2))
    names = [_names(frame) for frame in (one, other)]
    assert not set(names[0]) & set(names[1])
    assert sorted(names[0].values()) == sorted(names[1].values())
    assert tiny.token_id("<|im_end|>") in names[0].values()


def _names(frame: frames.Frame) -> dict[str, int]:
    tokens = json.loads(frame.tokenizer_json)["added_tokens"]
    return {token["content"]: token["id"] for token in tokens}


def test_usual_names_are_no_tokens(sources):
    """In a templated tokenizer, a document's <|im_end|> is the characters it is made of."""
    tokenizer = Tokenizer.from_str(frames.templated(sources["zerank-2"]).tokenizer_json)
    for name in (*tiny.SPECIAL, *tiny.NOT_SPECIAL):
        assert tokenizer.token_to_id(name) is None
        assert len(tokenizer.encode(name).ids) > 1


def test_a_plain_tokenizer_keeps_the_names(sources):
    """Clients that render prompts need them."""
    frame = frames.plain(sources["zerank-2"])
    assert Tokenizer.from_str(frame.tokenizer_json).token_to_id("<|im_end|>") is not None


def test_added_words_stay_words(tmp_path):
    """A template's engine finds them in texts as zelo does; others are not given such a model."""
    model = tiny.save_sentence_transformers(tmp_path / "model")
    tiny.add_words(model, "Zelophane", AddedToken("[DATE]", lstrip=True, normalized=False))
    source = open_source(str(model))
    query, document = "the river Zelophane <|im_end|>", "\n[DATE]\n <think> Zelophane [DATE]\n"
    expected = source.encoder.prompt_ids(query, document)
    templated = frames.templated(source)
    messages = [{"role": "query", "content": query}, {"role": "document", "content": document}]
    tokenizer = templated.tokenizer()
    text = tokenizer.apply_chat_template(messages, chat_template=templated.template, tokenize=False)
    assert tokenizer(text)["input_ids"] == expected
    with pytest.raises(UnsupportedModelError, match="zelo for words that were added"):
        frames.paired(source)
    with pytest.raises(UnsupportedModelError, match="words of its own"):
        read_vocabulary(source.tokenizer_json, source.family, rows=710)


def test_a_frame_of_its_own_is_exported_for_engines_that_render_it(tmp_path):
    """Clients that write prompts themselves know the families' frames alone."""
    model = tiny.save_sentence_transformers(tmp_path / "model")
    own = "<|endoftext|>" + tiny.ZERANK_TEMPLATE
    (model / "chat_template.jinja").write_text(own, encoding="utf-8")
    prompts = {"prompts": {"x": "be strict"}, "default_prompt_name": "x"}
    tiny.edit_json(model / "config_sentence_transformers.json", **prompts)
    source = open_source(str(model))
    frames.templated(source)  # compares with zelo's prompts
    template = read_vocabulary(source.tokenizer_json, source.family, rows=710).template
    assert template.startswith("<|endoftext|>")
    assert "\nbe strict<|im_end|>" in template
    with pytest.raises(UnsupportedModelError, match="asks for one of its own"):
        frames.plain(source)


def test_a_tokenizer_that_would_write_another_prompt_is_refused(tmp_path):
    """Here one that adds a token to every text, which transformers' tokenizer would do too."""
    model = tiny.save_sentence_transformers(tmp_path / "model")
    tokenizer = json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))
    (end,) = (t["id"] for t in tokenizer["added_tokens"] if t["content"] == "<|endoftext|>")
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [
            {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": "end", "type_id": 0}},
        ],
        "pair": [],
        "special_tokens": {"end": {"id": "end", "ids": [end], "tokens": ["end"]}},
    }
    tiny.write_json(model / "tokenizer.json", tokenizer)
    source = open_source(str(model))
    with pytest.raises(UnsupportedModelError, match="another prompt than zelo"):
        frames.plain(source)
    frames.templated(source)  # writes without it


def test_a_tokenizer_without_padding_is_refused(tmp_path):
    """Engines fill up batches, and the classifier looks for the last token that is no padding."""
    model = tiny.save_sentence_transformers(tmp_path / "model")
    text = (model / "tokenizer.json").read_text(encoding="utf-8")
    (model / "tokenizer.json").write_text(text.replace("<|endoftext|>", "<|end|>"), "utf-8")
    with pytest.raises(UnsupportedModelError, match="endoftext"):
        frames.templated(open_source(str(model)))
