"""zelo-nano: its vocabulary, the built-in circuit, the recipe's files, and the packaged model.

All but the last tests run on a vocabulary of a few hundred tokens made here.
"""

import atexit
import os
import random
import shutil
import tempfile
import unicodedata
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from torch import Tensor
from transformers import Qwen3ForCausalLM

from zelo import Reranker
from zelo.corpora import Collection
from zelo.errors import InputError
from zelo.local.loading.saving import save_reranker
from zelo.local.prompt import PromptEncoder
from zelo.scoring.catalog import resolve
from zelo.scoring.families import FAMILIES
from zelo.training.nano.circuit import Dim, TokenFacts, build, nano_config
from zelo.training.nano.codes import CODE_DIMS, form_codes
from zelo.training.nano.rarity import token_weights
from zelo.training.nano.recipe import SOURCES, configuration
from zelo.training.nano.untrained import save_untrained
from zelo.training.nano.vocabulary import normal_forms, train_tokenizer
from zelo.training.pipeline import read_config

WORDS = (
    "river stone bridge water cold grey town spring hill boat read json file open close write "
    "socket server client list sort reverse number string date time zone copy folder delete"
).split()


def seeded(seed: int) -> random.Random:
    """Python's generator; every draw of these tests comes from one."""
    return random.Random(seed)  # noqa: S311 - reproducible, not secret


def enumerate_ids(texts: list[str]) -> list[tuple[str, str]]:
    """Pairs of an id and a text."""
    return [(str(number), text) for number, text in enumerate(texts)]


def sentences(count: int, seed: int) -> list[str]:
    """Random sentences of eight words out of WORDS."""
    generator = seeded(seed)
    return [" ".join(generator.choices(WORDS, k=8)) for _ in range(count)]


@cache
def small() -> tuple[Tokenizer, PromptEncoder, TokenFacts]:
    """A tokenizer that knows every word of WORDS as one token, and its facts."""
    texts = [*sentences(400, seed=0), *WORDS * 20, "the of and a to in " * 50]
    tokenizer = train_tokenizer(texts, size=900)
    encoder = PromptEncoder(tokenizer.to_str(), FAMILIES["zelo"])
    forms = normal_forms(tokenizer)
    ids = tokenizer.get_vocab()
    facts = TokenFacts(
        forms=forms,
        idf=token_weights(tokenizer, forms, [texts]),
        start_id=ids["<|im_start|>"],
        end_id=ids["<|im_end|>"],
        yes_id=encoder.positive_id,
        last_id=encoder.prompt_ids("", "")[-1],
    )
    return tokenizer, encoder, facts


def circuit(seed: int = 0) -> Qwen3ForCausalLM:
    """An untrained model with the circuit, over the small vocabulary."""
    tokenizer, _, facts = small()
    config = nano_config(tokenizer.get_vocab_size(), eos_id=facts.end_id, pad_id=0)
    return build(config, facts, seed=seed)


def test_words_are_one_token_whatever_their_case_and_place() -> None:
    """The score token, the roles and known words are one token, and space has none."""
    tokenizer, _, facts = small()
    for word in ("Yes", "yes", "no", "system", "user", "assistant", "\n River"):
        assert len(tokenizer.encode(word).ids) == 1
    (river,) = tokenizer.encode("river").ids
    (of,) = tokenizer.encode("of").ids
    assert tokenizer.encode("(RIVER").ids[-1] == river
    assert facts.forms[river] == "river"
    assert facts.idf[river] > facts.idf[of] == 0


@given(st.text())
def test_every_text_has_tokens_for_all_its_bytes(text: str) -> None:
    """Nothing of a text is lost but space, case and Unicode's other ways to write a letter."""
    tokenizer, _, _ = small()
    kept = "".join(unicodedata.normalize("NFC", text).lower().split())
    found = tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False)
    assert "".join(found.split()) == kept


def hidden_and_attention(query: str, document: str) -> tuple[list[str], Tensor, Tensor]:
    """Tokens, the residual stream after layer 2 and layer 2's attention of the circuit."""
    tokenizer, encoder, _ = small()
    model = circuit()
    model.set_attn_implementation("eager")
    ids = encoder.prompt_ids(query, document)
    with torch.no_grad():
        out = model.model(torch.tensor([ids]), output_attentions=True, output_hidden_states=True)
    tokens = [tokenizer.decode([token], skip_special_tokens=False).strip() for token in ids]
    return tokens, out.hidden_states[2][0], out.attentions[1][0]


def test_circuit_attends_to_equal_query_tokens() -> None:
    """Untrained, a document word attends to the same word of the query, else to a sink."""
    tokens, hidden, attention = hidden_and_attention("cold river boat", "grey River hill river")
    end = tokens.index("<|im_end|>")
    in_query = tokens.index("river")
    last = len(tokens) - 1 - tokens[::-1].index("river")
    assert last > end > in_query
    assert attention[0, last, in_query] > 0.9
    hill = tokens.index("hill")
    sinks = [i for i, text in enumerate(tokens) if text == "<|im_start|>"]
    assert attention[0, hill, [i for i in sinks if i < hill]].sum() > 0.9
    assert hidden[in_query, Dim.SEGMENT] == pytest.approx(-1, abs=0.05)
    assert hidden[last, Dim.SEGMENT] == pytest.approx(1, abs=0.05)


def test_circuit_counts_each_repeat_less_and_none_against() -> None:
    """A matched word gains less by its second occurrence, little by later ones, loses by none."""
    tokens, hidden, _ = hidden_and_attention("cold river", "grey" + " river hill" * 12)
    found = [i for i, text in enumerate(tokens) if text == "river"][1:]
    gains = hidden[found, Dim.GAIN]
    assert 0.1 * gains[0] < gains[1] < 0.4 * gains[0]
    assert gains[2] < 0.5 * gains[1]
    assert gains[2:].min() > 0
    assert gains[5:].max() < 0.1 * gains[0]


def test_nothing_leaks_to_words_the_query_does_not_have() -> None:
    """Of a long document without a word of the query next to nothing is gained."""
    document = " ".join(sentences(12, seed=4))
    _, matched, _ = hidden_and_attention("river stone", "river")
    _, other, _ = hidden_and_attention("giraffe", document)
    assert other[:, Dim.GAIN].sum().abs() < 0.02 * matched[:, Dim.GAIN].sum()


def test_a_word_in_pieces_weighs_little_more_than_a_whole_one() -> None:
    """A rare word split in pieces counts as its root of so many, not as so many rare words."""
    tokenizer, _, _ = small()
    texts = [*sentences(400, seed=0), "the zyxwvut of a and to in", "a quokka"]
    forms = normal_forms(tokenizer)
    weights = token_weights(tokenizer, forms, [texts])
    pieces = tokenizer.encode("zyxwvut").ids
    assert len(pieces) > 3
    assert 0 < weights[pieces].sum() < 1.01 * len(pieces) ** 0.5
    (river,) = tokenizer.encode("river").ids
    assert weights[pieces].sum() > weights[river]


def test_a_word_is_rare_where_few_texts_of_the_average_set_have_it() -> None:
    """Sets count alike, large or small, and inflections as one word; stop words weigh nothing."""
    tokenizer, _, _ = small()
    forms = normal_forms(tokenizer)
    large = ["stone"] * 90 + ["hill"] * 10
    (stone,), (hill,), (the,) = (tokenizer.encode(word).ids for word in ("stone", "hill", "the"))
    alone = token_weights(tokenizer, forms, [large])
    assert alone[stone] < alone[hill]
    both = token_weights(tokenizer, forms, [large, ["the hills"]])
    assert both[hill] < both[stone]
    assert both[the] == 0


def test_no_two_words_have_codes_much_alike() -> None:
    """Equal forms share a code of full norm; of any other two the cosine is at most a half."""
    forms = [*(f"word{i}" for i in range(1500)), "word7", "", ""]
    codes = form_codes(forms, torch.Generator().manual_seed(3))
    assert torch.equal(codes[7], codes[1500])
    cosines = codes @ codes.T / CODE_DIMS
    assert cosines.diag() == pytest.approx(torch.ones(len(forms)))
    cosines[7, 1500] = cosines[1500, 7] = 0.0
    assert cosines.fill_diagonal_(0.0).max() <= 0.5 + 1e-5


@cache
def untrained() -> Path:
    """The folder of an untrained model over the small vocabulary's words."""
    folder = Path(tempfile.mkdtemp(prefix="zelo-untrained-"))
    atexit.register(shutil.rmtree, folder)
    texts = dict(enumerate_ids([*sentences(400, seed=0), *WORDS * 20]))
    made = Collection("small", texts, {"q": "cold river"}, {"q": {"0": 1}})
    save_untrained([made], folder, seed=0, vocabulary=900)
    return folder


def test_circuit_ranks_before_any_training() -> None:
    """Untrained, the document that holds the query's four words is mostly first of four."""
    generator = seeded(5)
    first = 0
    with Reranker(str(untrained())) as reranker:
        for i in range(40):
            texts = sentences(4, seed=100 + i)
            query = " ".join(generator.sample(texts[0].split(), 4))
            first += reranker.rank(query, texts)[0].index == 0
    assert first >= 32  # chance: 10


def test_a_score_is_worth_the_same_for_short_and_long_queries() -> None:
    """Holding every word of the query counts for much, whether four or eight."""
    document = "grey river stone bridge water cold town spring hill boat"
    with Reranker(str(untrained()), dtype="float32") as reranker:
        for count in (4, 8):
            query = " ".join(document.split()[:count])
            whole, none = reranker.score(query, [document, "json socket server client"])
            assert whole > 0.6
            assert none < 0.1


def test_an_untrained_model_repeats_by_seed(tmp_path: Path) -> None:
    """The same texts and seed give the same files, another seed other codes."""
    made = Collection("small", dict(enumerate_ids(sentences(60, seed=2))), {"q": "river"}, {})
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        save_untrained([made], tmp_path / name, seed=seed, vocabulary=800)
    one, again, other = (
        (tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "again", "other")
    )
    assert one == again
    assert one != other


def test_the_recipe_is_a_configuration_that_run_reads(tmp_path: Path) -> None:
    """Every source is named with its split, the circuit is kept, and the seed is the one given."""
    data = tmp_path / 'da"ta'
    file = tmp_path / "recipe.toml"
    file.write_text(configuration(data, "MiniLM", seed=7, queries=50), encoding="utf-8")
    found = read_config(file)
    assert [(one.path, one.split, one.queries) for one in found.collections] == [
        (str(data / source.name), source.split, source.queries) for source in SOURCES
    ]
    assert found.pointwise.learning.keep_zeros
    assert found.pointwise.learning.seed == found.seed == 7
    assert found.evaluate.collections is not None
    assert {one.queries for one in found.evaluate.collections} == {50}


def test_other_frames_are_not_saved_as_zerank(tmp_path: Path) -> None:
    """A family with a prompt of its own is refused before anything is written."""
    with pytest.raises(InputError, match="qwen3-reranker"):
        save_reranker(circuit(), small()[0], tmp_path / "out", family="qwen3-reranker")
    assert not (tmp_path / "out").exists()


def test_saved_folder_scores_alike_everywhere(tmp_path: Path) -> None:
    """CrossEncoder, Reranker and plain transformers read the same logits from a saved folder."""
    from sentence_transformers import CrossEncoder

    tokenizer, encoder, facts = small()
    save_reranker(circuit(), tokenizer, tmp_path, family="zelo")
    pairs = [("cold river", text) for text in sentences(6, seed=9)]
    pairs.append(("cold river", "\n\nriver 1 2\n"))
    plain = Qwen3ForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    with torch.no_grad():
        expected = [
            float(plain(torch.tensor([encoder.prompt_ids(*pair)])).logits[0, -1, facts.yes_id])
            for pair in pairs
        ]
    official = CrossEncoder(str(tmp_path), device="cpu", model_kwargs={"dtype": torch.float32})
    assert official.predict(pairs) == pytest.approx(expected, rel=1e-4)
    with Reranker(str(tmp_path), dtype="float32") as reranker:
        logits = reranker.score("cold river", [text for _, text in pairs], scale="logit")
    assert logits == pytest.approx(expected, rel=1e-4)


CASES = (
    (
        "how do I read a json file",
        "json.load(fp)\nDeserialize a file that holds a JSON document to a Python object.",
    ),
    ("sort a list in reverse", "list.sort(*, key=None, reverse=False)\nSort the list in place."),
    (
        "delete a directory and everything in it",
        "shutil.rmtree(path)\nDelete an entire directory tree; path must point to a directory.",
    ),
    ("current time in seconds", "time.time()\nReturn the time in seconds since the epoch."),
    (
        "compress data with gzip",
        "gzip.compress(data)\nCompress the data, returning a bytes object with gzip content.",
    ),
    (
        "symptoms of iron deficiency",
        "Iron deficiency causes fatigue, pale skin and other symptoms of anemia.",
    ),
    ("longest river in Africa", "The Nile is the longest river in Africa, at 6,650 km."),
    ("when was the bridge built", "The stone bridge across the harbor was built in 1932."),
    (
        "who discovered penicillin",
        "Alexander Fleming discovered penicillin in 1928 at St Mary's Hospital.",
    ),
    ("list files by size", "ls -lS\nList all files sorted by size, largest first."),
    (
        "vitamin D and bone density",
        "In adults, supplements of vitamin D raised bone density over two years.",
    ),
    ("notice to terminate the contract", "Either party may terminate this contract by notice."),
)


def test_nano_puts_the_matching_document_first() -> None:
    """Of twelve handwritten documents on twelve subjects, each query finds its own first."""
    documents = [document for _, document in CASES]
    with Reranker("zelo-nano") as reranker:
        found = [reranker.rank(query, documents)[0].index for query, _ in CASES]
    assert found == list(range(len(CASES)))


def test_nano_scores_alike_in_sentence_transformers() -> None:
    """CrossEncoder loads the packaged folder too and gives the same raw logits."""
    from sentence_transformers import CrossEncoder

    folder = resolve("zelo-nano").folder
    official = CrossEncoder(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
    texts = [*sentences(8, seed=3), "\n\nA river.", "naïve café \U0001f600", "x" * 400]
    with Reranker("zelo-nano") as reranker:
        logits = reranker.score("cold river", texts, scale="logit")
    expected = official.predict([("cold river", text) for text in texts])
    assert logits == pytest.approx(expected, rel=1e-4)


def test_a_copy_scores_as_the_packaged_model(tmp_path: Path) -> None:
    """A folder of its size computes in the same number type as the alias, told by its files."""
    import zelo

    packaged = Path(zelo.__file__).parent / "models" / "zelo-nano"
    shutil.copytree(packaged, tmp_path / "mine")
    texts = sentences(25, seed=4)
    with (
        Reranker("zelo-nano", device="cpu") as one,
        Reranker(tmp_path / "mine", device="cpu") as two,
    ):
        assert one.score("cold river", texts) == two.score("cold river", texts)
        assert "float32" in repr(two)


def test_weights_may_be_read_by_whom_the_other_files_may(tmp_path: Path) -> None:
    """safetensors writes for the owner alone; the umask decides instead."""
    before = os.umask(0o027)
    try:
        save_reranker(circuit(), small()[0], tmp_path, family="zelo")
    finally:
        os.umask(before)
    modes = {
        path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir() if path.is_file()
    }
    assert set(modes.values()) == {0o640}, modes


def test_nano_is_small_and_whole() -> None:
    """The packaged folder keeps to its limits: 8 MB, 2 million parameters, no machine path."""
    import zelo

    folder = Path(zelo.__file__).parent / "models" / "zelo-nano"
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 8_000_000
    model = Qwen3ForCausalLM.from_pretrained(folder)
    assert sum(weight.numel() for weight in model.parameters()) <= 2_000_000
    assert model.dtype == torch.float32  # rounded to bfloat16 its order is another
    texts = [p.read_text(encoding="utf-8") for p in files if p.suffix in {".json", ".md"}]
    here = (str(Path.home()), str(Path(zelo.__file__).parents[2]))
    assert not any(path in text for text in texts for path in here)
