"""Cutting a long text into overlapping windows at token borders. Knows no prompt and no model."""

from tokenizers import Tokenizer

__all__ = ["windows"]


def windows(tokenizer: Tokenizer, text: str, size: int) -> list[str]:
    """Cut `text` into substrings of about `size` tokens that overlap by a quarter.

    A passage of up to a quarter window (at most 256 tokens) therefore stands whole in one of
    them. Windows begin and end at a word border where one is near; blank ones are left out.
    Every character but surrounding blanks is in some window.
    """
    encoding = tokenizer.encode(text, add_special_tokens=False)
    words, offsets = encoding.word_ids, encoding.offsets
    overlap = min(size // 4, 256)
    cuts: list[str] = []
    start = 0
    while start < len(offsets):
        end = _word_border(words, min(start + size, len(offsets)), start + (size + 1) // 2)
        cuts.append(text[offsets[start][0] : offsets[end - 1][1]])
        if end == len(offsets):
            break
        start = _word_border(words, end - overlap, start + 1)
    return [cut for cut in cuts if not cut.isspace()]


def _word_border(words: list[int | None], at: int, lowest: int) -> int:
    """Return the last word border in [lowest, at], or `at` where a word is longer than that."""
    border = at
    while lowest < border < len(words) and words[border] == words[border - 1]:
        border -= 1
    on_border = border == len(words) or words[border] != words[border - 1]
    return border if on_border else max(at, lowest)
