"""Untrusted texts inside a prompt of ours.

Written as JSON strings, no text can leave its quotes, close them early or begin a line that looks
like ours. That keeps apart what is ours and what is not; it does not keep a model from believing
what a text says of itself.
"""

import json
import re

__all__ = ["quoted"]

CONTROL = re.compile(r"<(?=[|\uff5c]|/?\w+>)|\[(?=/?[A-Z_]+\])")
"""Where control tokens of the common chat models begin: `<|im_end|>`, `</s>`, `[INST]`."""


def quoted(text: str) -> str:
    """Write a text as a JSON string, which says the same and holds no control token.

    What a server's tokenizer might read as one is escaped, which JSON allows.
    """
    written = json.dumps(text, ensure_ascii=False)
    return CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", written)
