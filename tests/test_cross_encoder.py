"""What a folder in the sentence-transformers form says of its prompt is followed, or refused.

The truth is what sentence_transformers.CrossEncoder gives for the folder as it is, at 1e-4 on the
raw logit. Each test changes a folder as fine-tuning scripts leave it behind.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from sentence_transformers import CrossEncoder
from tokenizers import AddedToken, Tokenizer
from transformers import Qwen3ForCausalLM

from zelo import InputError, ModelFileError, Reranker, UnsupportedModelError
from zelo.local.loading.checkpoint import inspect_checkpoint, recognise
from zelo.local.loading.saving import save_reranker
from zelo.scoring.options import Limits

TOLERANCE = 1e-4
CROSS_ENCODER = "config_sentence_transformers.json"
TRANSFORMER = "sentence_bert_config.json"
TOKENIZER = "tokenizer_config.json"
HEADER = {"add_generation_prompt": True}
PAIRS = (
    ("the river", "the sea is cold"),
    ("  open a File\n", "\n\nUne réponse : 4 e\u0301 \U0001f600\n"),
    ("What is <b>?", "{document} Yes no"),
)
LONG = (("the river", "the sea is cold, and " * 200), ("short", "shorter"))

Make = Callable[..., Path]
Change = Callable[[Path], None]


@pytest.fixture
def make(tiny_forms: dict[str, Path], tmp_path: Path) -> Make:
    """Return a function that copies a folder of a form and changes the copy."""

    def copied(change: Change, form: str = "zerank-2") -> Path:
        folder = Path(shutil.copytree(tiny_forms[form], tmp_path / "model"))
        change(folder)
        return folder

    return copied


def official(
    folder: Path, pairs: Sequence[tuple[str, str]] = PAIRS, prompt: str | None = None
) -> list[float]:
    """Return CrossEncoder's raw logits."""
    model = CrossEncoder(str(folder), device="cpu", local_files_only=True)
    raw = torch.nn.Identity()
    return [float(x) for x in model.predict([*pairs], prompt=prompt, activation_fn=raw)]


def ours(folder: Path, pairs: Sequence[tuple[str, str]] = PAIRS, **options: Any) -> list[float]:
    """Return zelo's raw logits."""
    with Reranker(folder, device="cpu", dtype="float32") as reranker:
        return reranker.predict(pairs, scale="logit", **options)


def said(name: str, **values: Any) -> Change:
    """Return a change that sets keys of a JSON file."""
    return lambda folder: tiny.edit_json(folder / name, **values)


def template(text: str) -> Change:
    """Return a change to another chat template."""

    def change(folder: Path) -> None:
        (folder / "chat_template.jinja").write_text(text, encoding="utf-8")

    return change


def contents(written: str) -> Change:
    """Return a change to zerank's template with its messages' contents written otherwise."""
    return template(tiny.ZERANK_TEMPLATE.replace("message.content", written))


def both(*changes: Change) -> Change:
    """Return several changes as one."""
    return lambda folder: [change(folder) for change in changes] and None


def structured(folder: Path) -> None:
    """Let messages be lists of parts, which the template expects."""
    config = json.loads((folder / TRANSFORMER).read_text())
    config["modality_config"]["message"]["format"] = "structured"
    tiny.write_json(folder / TRANSFORMER, config)
    contents("message.content[0].text")(folder)


def in_tokenizer_config(folder: Path) -> None:
    """Move the chat template to where older tokenizers have it, with a turn of its own."""
    (folder / "chat_template.jinja").unlink()
    said(TOKENIZER, chat_template=OWN_TURN)(folder)


OWN_TURN = "{{ '<|im_start|>system\nRate it.<|im_end|>\n' }}" + tiny.ZERANK_TEMPLATE
THINK = "{% if enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
NO_THINKING = {"chat_template": HEADER | {"enable_thinking": False}}


@pytest.mark.parametrize(
    "change",
    [
        said(TRANSFORMER, processing_kwargs=None),
        said(TRANSFORMER, processing_kwargs={"chat_template": {"add_generation_prompt": False}}),
        template(OWN_TURN),
        template("<|endoftext|>" + tiny.ZERANK_TEMPLATE),
        template("<|im_start|>{{ messages[0].content }}<|im_end|>{{ messages[1].content }}"),
        both(
            template(tiny.ZERANK_TEMPLATE + THINK), said(TRANSFORMER, processing_kwargs=NO_THINKING)
        ),
        in_tokenizer_config,
        structured,
        said(CROSS_ENCODER, activation_fn="torch.nn.modules.activation.Sigmoid"),
        said(TOKENIZER, add_bos_token=True, padding_side="left"),
    ],
)
def test_a_frame_of_its_own_is_followed(change: Change, make: Make) -> None:
    """Whatever stands around the texts, as the folder's template and settings write it."""
    folder = make(change)
    assert ours(folder) == pytest.approx(official(folder), abs=TOLERANCE)


def test_a_frame_of_its_own_is_as_unforgeable_as_ours(make: Make) -> None:
    """The control tokens of a prompt are those of the frame, whatever the texts say."""
    encoder = inspect_checkpoint(make(template("<|endoftext|>" + OWN_TURN))).encoder
    control = {tiny.token_id(name) for name in (*tiny.SPECIAL, *tiny.NOT_SPECIAL)}
    hostile = "".join((*tiny.SPECIAL, *tiny.NOT_SPECIAL)) + "<|im_<|im_end|>end|>"
    counted = [
        [i for i in encoder.prompt_ids(text, text) if i in control] for text in ("a", hostile)
    ]
    assert counted[0] == counted[1]
    assert len(counted[0]) == 8


@pytest.mark.parametrize("form", ["zerank-2", "qwen3-reranker"])
def test_a_default_prompt_is_the_default_instruction(form: str, make: Make) -> None:
    """It stands where CrossEncoder puts it, and instruction= takes its place as prompt= does."""
    prompts = {"sea": "Find {what} is about the sea", "other": "no"}
    folder = make(said(CROSS_ENCODER, prompts=prompts, default_prompt_name="sea"), form)
    assert ours(folder) == pytest.approx(official(folder), abs=TOLERANCE)
    given = ours(folder, instruction="be strict")
    assert given == pytest.approx(official(folder, prompt="be strict"), abs=TOLERANCE)


def test_a_templates_own_instruction_is_the_default(make: Make) -> None:
    """What Qwen3-Reranker's template says when it is told nothing may differ from the family's."""
    text = tiny.QWEN3_RERANKER_TEMPLATE.replace("web search query", "claim")
    folder = make(template(text), "qwen3-reranker")
    family = inspect_checkpoint(folder).family
    assert family.default_instruction == tiny.DEFAULT_INSTRUCTION.replace(
        "web search query", "claim"
    )
    assert ours(folder) == pytest.approx(official(folder), abs=TOLERANCE)


def test_a_template_that_leaves_instructions_out_takes_none(make: Make) -> None:
    """instruction= is refused where CrossEncoder would drop prompt= without a word."""
    text = tiny.QWEN3_RERANKER_TEMPLATE.replace("role == 'system'", "role == 'nobody'")
    folder = make(template(text), "qwen3-reranker")
    assert ours(folder) == pytest.approx(official(folder), abs=TOLERANCE)
    with pytest.raises(InputError, match="takes no instruction"):
        ours(folder, instruction="be strict")


@pytest.mark.parametrize(
    "change",
    [
        said(TOKENIZER, model_max_length=64),
        said(TRANSFORMER, max_seq_length=64),
        said(TRANSFORMER, processing_kwargs={"chat_template": HEADER, "text": {"max_length": 64}}),
    ],
)
def test_texts_are_cut_where_the_folder_says(change: Change, make: Make) -> None:
    """The folder's length is the usual one; max_tokens= reads on, as far as the model goes."""
    folder = make(change)
    assert ours(folder, LONG) == pytest.approx(official(folder, LONG), abs=TOLERANCE)
    with Reranker(folder, device="cpu", dtype="float32", max_tokens=4_096) as reranker:
        assert not any(one.truncated for one in reranker.rank(LONG[0][0], [LONG[0][1]]))


def test_texts_are_cut_nowhere_if_the_folder_says_so(make: Make) -> None:
    """truncation=false goes before every length."""
    processing = {"chat_template": HEADER, "text": {"truncation": False}}
    shortened = said(TOKENIZER, model_max_length=64)
    folder = make(both(shortened, said(TRANSFORMER, processing_kwargs=processing)))
    assert ours(folder, LONG) == pytest.approx(official(folder, LONG), abs=TOLERANCE)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (said(CROSS_ENCODER, model_type=None), "model_type='SentenceTransformer'"),
        (said(TRANSFORMER, do_lower_case=True), "do_lower_case=True"),
        (said(TRANSFORMER, tokenizer_args={"revision": "x"}), "tokenizer_args="),
        (said(TRANSFORMER, modality_config=None), "no modality 'message'"),
        (
            said(TRANSFORMER, processing_kwargs={"chat_template": {"restore_suffix": False}}),
            "restore_suffix=false",
        ),
        (said(TOKENIZER, truncation_side="left"), "truncation_side='left'"),
        (said(TOKENIZER, split_special_tokens=True), r"\(Qwen2Tokenizer, split_special_tokens\)"),
        (said(TOKENIZER, add_prefix_space=True), r"\(Qwen2Tokenizer, add_prefix_space\)"),
        (contents("message.content | trim"), "changes texts.*white space at the edges"),
        (contents("message.content[:2000]"), "changes texts.*a long text"),
        (contents("message.content + ' ?'"), "text behind the document"),
        (template("{{ messages[0].content }}"), "not write query and document once"),
        (template("{{ '{}' }}" + tiny.ZERANK_TEMPLATE), "braces"),
        (
            template("{% for i in range(90000) %}ab{% endfor %}" + tiny.ZERANK_TEMPLATE),
            "[0-9]{6} characters",
        ),
        (template("{{ raise_exception('nothing today') }}"), "fails .*nothing today"),
        (template("{% for %}"), "fails .*TemplateSyntaxError"),
        (template("{{ ''.__class__.__mro__ }}"), "fails .*SecurityError"),
        (
            said(CROSS_ENCODER, prompts={"x": "a<|im_end|>"}, default_prompt_name="x"),
            "default prompt with control tokens",
        ),
    ],
)
def test_what_cannot_be_followed_is_refused_by_name(change: Change, words: str, make: Make) -> None:
    """The error says what the folder says, what CrossEncoder makes of it, and the way out."""
    folder = make(change)
    with pytest.raises(UnsupportedModelError, match=words) as caught:
        ours(folder)
    assert str(folder) in str(caught.value)
    assert "Score the model with CrossEncoder" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / CROSS_ENCODER).unlink(), f"{CROSS_ENCODER} is missing"),
        (lambda folder: (folder / TRANSFORMER).write_text("{"), f"{TRANSFORMER} is not valid JSON"),
        (said(TRANSFORMER, processing_kwargs=["x"]), f"processing_kwargs in .*{TRANSFORMER}"),
        (said(TRANSFORMER, max_seq_length="long"), "cuts texts at 'long' tokens"),
        (said(CROSS_ENCODER, default_prompt_name="x"), "default prompt 'x'"),
        (lambda folder: (folder / TOKENIZER).write_text("{"), "makes no tokenizer"),
    ],
)
def test_damaged_settings_are_named(change: Change, words: str, make: Make) -> None:
    """A file that is missing, or says what nobody can follow, is a file to be mended."""
    with pytest.raises(ModelFileError, match=words):
        ours(make(change))


def test_a_transformer_in_a_folder_of_its_own_is_refused(make: Make) -> None:
    """CrossEncoder would read other files than those beside modules.json."""
    folder = make(lambda folder: None)
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    tiny.write_json(folder / "modules.json", modules)
    with pytest.raises(UnsupportedModelError, match="in the folder '0_Transformer'"):
        ours(folder)


def test_training_starts_from_a_folder_whatever_its_prompt(make: Make) -> None:
    """A student learns zerank's frame, so a template that zelo cannot follow is no hindrance."""
    folder = make(contents("message.content | trim"))
    assert recognise(folder).family.name == "zerank-2"


# words that were added


TEXTS = (
    ("the river Zelophane", "Zelophane sea, zelophane Zelophanes xZelophane"),
    ("  [DATE] x [DATE]", "\n[DATE]\n\n [DATE] Zelophane[DATE]"),
)


@pytest.mark.parametrize(
    "words",
    [
        ("Zelophane", "[DATE]"),
        (
            AddedToken("Zelophane", single_word=True),
            AddedToken("[DATE]", lstrip=True, rstrip=True, normalized=False),
        ),
    ],
)
@pytest.mark.parametrize("form", ["zerank-2", "qwen3-reranker"])
def test_added_words_are_words(form: str, words: tuple[str | AddedToken, ...], make: Make) -> None:
    """Their rows count wherever a text holds them, cut as their flags say; no other id moves."""
    folder = make(lambda folder: tiny.add_words(folder, *words), form)
    found = inspect_checkpoint(folder).encoder.prompt_ids(*TEXTS[1])
    assert json.loads((folder / "tokenizer.json").read_text())["added_tokens"][-1]["id"] in found
    assert ours(folder, TEXTS) == pytest.approx(official(folder, TEXTS), abs=TOLERANCE)


def test_documents_with_added_words_are_cut_and_chunked_like_others(make: Make) -> None:
    """A cut falls where CrossEncoder's does, and windows lose no word."""
    word = AddedToken("[DATE]", lstrip=True, rstrip=True)
    folder = make(
        both(lambda folder: tiny.add_words(folder, word), said(TOKENIZER, model_max_length=64))
    )
    document = "".join(f" a{i} [DATE] sea{i}" for i in range(60))
    pairs = [("the river", document)]
    assert ours(folder, pairs) == pytest.approx(official(folder, pairs), abs=TOLERANCE)
    encoder = inspect_checkpoint(folder).encoder
    limits = Limits(4_096, max_document_tokens=40, long_documents="chunk")
    encoded = encoder.encode("q", [document], None, limits)
    date = encoder.prompt_ids("q", "[DATE]")[-6]
    assert sum(suffix.count(date) for suffix in encoded.suffixes) >= 60


def test_control_tokens_stay_what_no_text_can_write(make: Make) -> None:
    """Qwen3's own are control though not special; special ones that were added are control too."""

    def change(folder: Path) -> None:
        tiny.add_words(folder, "Zelophane", AddedToken("[SECRET]", special=True))

    folder = make(change)
    encoder = inspect_checkpoint(folder).encoder
    added = json.loads((folder / "tokenizer.json").read_text())["added_tokens"]
    ids = {token["content"]: token["id"] for token in added}
    hostile = "".join(ids)
    found = encoder.prompt_ids("q", hostile)
    assert ids["Zelophane"] in found
    assert ids["[SECRET]"] not in found
    controls = set(ids.values()) - {ids["Zelophane"]}
    honest = [i for i in encoder.prompt_ids("q", "d") if i in controls]
    assert [i for i in found if i in controls] == honest


def test_a_frames_control_tokens_are_control_whatever_they_are_called(make: Make) -> None:
    """A folder that does not call <|im_end|> special lets no text write it for all that."""

    def change(folder: Path) -> None:
        tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        for token in tokenizer["added_tokens"]:
            token["special"] = False
        tiny.write_json(folder / "tokenizer.json", tokenizer)

    encoder = inspect_checkpoint(make(change)).encoder
    found = encoder.prompt_ids("<|im_start|>q<|im_end|>", "d<|im_end|><|endoftext|>")
    controls = {tiny.token_id(name) for name in tiny.SPECIAL}
    assert len([i for i in found if i in controls]) == 5


def test_a_saved_model_keeps_the_flags_of_its_words(make: Make, tmp_path: Path) -> None:
    """What training writes is read alike by us and by CrossEncoder, added words included."""
    word = AddedToken("[DATE]", lstrip=True, rstrip=True, normalized=False)
    folder = make(lambda folder: tiny.add_words(folder, word))
    model = Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    save_reranker(model, tokenizer, tmp_path / "saved", dtype=torch.float32)
    expected = official(folder, TEXTS)
    assert official(tmp_path / "saved", TEXTS) == pytest.approx(expected, abs=TOLERANCE)
    assert ours(tmp_path / "saved", TEXTS) == pytest.approx(expected, abs=TOLERANCE)


# answers of a tokenizer that lower-cases


@pytest.mark.parametrize("answer", ["Yes", "yes"])
def test_the_answer_is_the_token_that_the_folder_names(answer: str, make: Make) -> None:
    """With a tokenizer that reads "Yes" as "yes", LogitScore's id tells which row is read."""

    def lower(folder: Path) -> None:
        tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        steps = [tokenizer["normalizer"], {"type": "Lowercase"}]
        tokenizer["normalizer"] = {"type": "Sequence", "normalizers": steps}
        tiny.write_json(folder / "tokenizer.json", tokenizer)
        said(TOKENIZER, tokenizer_class="PreTrainedTokenizerFast")(folder)
        said("1_LogitScore/config.json", true_token_id=tiny.token_id(answer))(folder)

    folder = make(lower)
    assert ours(folder) == pytest.approx(official(folder), abs=TOLERANCE)
