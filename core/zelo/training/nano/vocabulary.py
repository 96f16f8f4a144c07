"""A small byte-level BPE with Qwen's split pattern, and the normal form its tokens share.

It knows nothing of the model; `circuit` reads the normal forms to give equal words equal codes.
"""

import math
import re
from collections.abc import Iterable, Iterator

import numpy as np
import Stemmer
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from zelo.local.prompt import text_tokenizer

# Word for word the pattern of Qwen3's tokenizer.json: digits stand alone, one leading non-letter
# may join a word ("_json", " read").
SPLIT_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
# Added but not special, as in Qwen3: text must not be able to forge these either.
PLAIN_ADDED_TOKENS = ("<think>", "</think>")
# The frame and the score row need each of these to be one token.
FRAME_WORDS = ("Yes", "yes", "No", "no", "system", "user", "assistant", "query", "document")
STOP_WORDS = (
    "a an and are as at be been but by can could did do does for from had has have he her his how "
    "i if in into is it its me my no not of on or our she should so such than that the their them "
    "then there these they this those to was we were what when where which who whom whose why "
    "will with would you your am about between using use used given get also any all each more "
    "most other some only own same too very just may might must shall"
)


def train_tokenizer(texts: Iterable[str], *, size: int) -> Tokenizer:
    """Train the BPE; `size` counts all ids, the added tokens (which come last) included."""
    tokenizer = Tokenizer(BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    added = len(SPECIAL_TOKENS) + len(PLAIN_ADDED_TOKENS)
    trainer = BpeTrainer(
        vocab_size=size - added,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(_with_frame_words(texts), trainer)
    tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t in SPECIAL_TOKENS])
    tokenizer.add_tokens([AddedToken(t, normalized=False) for t in PLAIN_ADDED_TOKENS])
    return tokenizer


def normal_forms(tokenizer: Tokenizer) -> list[str]:
    """Per id: the token's word, lower-cased and stemmed, or "" where it has no letter or digit.

    " Reads", "_read" and "READ" share one form.
    """
    stemmer = Stemmer.Stemmer("english")
    forms = []
    for token_id in range(tokenizer.get_vocab_size()):
        text = tokenizer.decode([token_id], skip_special_tokens=False)
        word = "".join(re.findall(r"[^\W_]+", text)).lower()
        is_added = text in SPECIAL_TOKENS or text in PLAIN_ADDED_TOKENS
        forms.append("" if is_added else stemmer.stemWord(word))
    return forms


def word_weights(
    tokenizer: Tokenizer, forms: list[str], text_sets: Iterable[list[str]]
) -> np.ndarray:
    """How much a match of each token id says, in [0, 1]: an inverse document frequency.

    Frequencies are taken per set of texts and averaged, so that a large set does not decide what
    is rare. Punctuation and stop words get 0, single characters hardly anything (Qwen's pattern
    splits numbers into digits).
    """
    body = text_tokenizer(tokenizer.to_str())
    distinct = sorted(set(forms))
    place = {form: row for row, form in enumerate(distinct)}
    row_of_id = np.array([place[form] for form in forms])
    shares = []
    for texts in text_sets:
        counts = np.zeros(len(distinct))
        for encoding in body.encode_batch(texts, add_special_tokens=False):
            counts[np.unique(row_of_id[np.array(encoding.ids, dtype=int)])] += 1
        shares.append(counts / len(texts))
    frequency = np.maximum(np.mean(shares, axis=0), 1e-5)
    # 0 for a word of every fourth or fifth text, 1 for one of ten thousand.
    weights = np.clip((np.log(1.0 / frequency) - 1.5) / (math.log(1e4) - 1.5), 0.0, 1.0)
    stemmer = Stemmer.Stemmer("english")
    stop = {stemmer.stemWord(word) for word in STOP_WORDS.split()} | {""}
    for form, row in place.items():
        ceiling = {1: 0.05 if form.isdigit() else 0.15, 2: 0.4}.get(len(form), 1.0)
        weights[row] = 0.0 if form in stop else min(float(weights[row]), ceiling)
    return np.asarray(weights[row_of_id])


def _with_frame_words(texts: Iterable[str]) -> Iterator[str]:
    # Often enough to win their merges against any real word; the count is not delicate.
    for word in FRAME_WORDS:
        yield " ".join([f"\n{word}"] * 20_000)
    yield from texts
