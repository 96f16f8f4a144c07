"""The real Qwen3 tokenizer, built from the BPE ranks that the `dashscope` package carries.

Nothing is downloaded. The ranks are Qwen's own (Apache-2.0); the split pattern, the normaliser and
the control tokens are those of Qwen3's tokenizer.json.
"""

import base64
import importlib.util
import itertools
import json
from pathlib import Path

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = (
    "<|endoftext|> <|im_start|> <|im_end|> <|object_ref_start|> <|object_ref_end|> <|box_start|> "
    "<|box_end|> <|quad_start|> <|quad_end|> <|vision_start|> <|vision_end|> <|vision_pad|> "
    "<|image_pad|> <|video_pad|>"
).split()
ADDED = (
    "<tool_call> </tool_call> <|fim_prefix|> <|fim_middle|> <|fim_suffix|> <|fim_pad|> "
    "<|repo_name|> <|file_sep|> <tool_response> </tool_response> <think> </think>"
).split()


def qwen_tokenizer_json() -> str:
    """Return the text of a tokenizer.json with the ids of Qwen3's."""
    ranks = _ranks()
    letters = _byte_letters()
    vocabulary = {_spelled(token, letters): rank for token, rank in ranks.items()}
    merges = [
        [_spelled(part, letters) for part in _last_merge(token, ranks)]
        for token in ranks
        if len(token) > 1
    ]
    return tokenizer_json(vocabulary, merges, SPECIAL, ADDED)


def tokenizer_json(
    vocabulary: dict[str, int], merges: list[list[str]], special: list[str], added: list[str]
) -> str:
    """Put a byte-level BPE with Qwen's pattern into the form of the tokenizers library."""
    first = max(vocabulary.values()) + 1
    tokens = [(text, text in special) for text in (*special, *added)]
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False}
    split = {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated"}
    return json.dumps(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [
                {"id": first + i, "content": text, "special": is_special, **flags}
                for i, (text, is_special) in enumerate(tokens)
            ],
            "normalizer": {"type": "NFC"},
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    {**split, "invert": False},
                    {**byte_level, "use_regex": False},
                ],
            },
            "post_processor": {**byte_level, "use_regex": False},
            "decoder": {**byte_level, "use_regex": False},
            "model": {"type": "BPE", "vocab": vocabulary, "merges": merges},
        }
    )


def _ranks() -> dict[bytes, int]:
    spec = importlib.util.find_spec("dashscope")
    assert spec is not None
    assert spec.origin is not None
    lines = (Path(spec.origin).parent / "resources" / "qwen.tiktoken").read_bytes().splitlines()
    pairs = (line.split() for line in lines)
    return {base64.b64decode(token): int(rank) for token, rank in pairs}


def _last_merge(token: bytes, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    """Merge the token's bytes as BPE does, and return the two parts that are left last."""
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        pairs = [ranks.get(a + b, len(ranks)) for a, b in itertools.pairwise(parts)]
        at = min(range(len(pairs)), key=pairs.__getitem__)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts[0], parts[1]


def _byte_letters() -> dict[int, str]:
    """GPT-2's table: printable bytes stand for themselves, the others for letters from U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {
        byte: chr(0x100 + i) for i, byte in enumerate(others)
    }


def _spelled(token: bytes, letters: dict[int, str]) -> str:
    return "".join(letters[byte] for byte in token)
