"""How llama-server serves the file, what of that was seen, and what it does otherwise than zelo.

Sources: llama.cpp 0.5.0-dev at commit 0c1e57098 (November 2026), read and run; its pull requests
15824 (Qwen3 rerankers: the softmax, the template) and 28876 (prompts longer than a batch).
"""

import shlex
from pathlib import Path

from zelo.export.engines.engine import Request, Written
from zelo.export.engines.statements import instruction
from zelo.export.export import Flag, Serving, Statement
from zelo.export.llama_cpp.tensors import GgufType
from zelo.export.source import Source

__all__ = ["written"]

LONGEST = 8_192
"""Tokens of a prompt, where the model reads as many."""
PORT = "8080"
TEST = "tests/test_export_gguf_server.py"
DIFFERENCES = {"f32": "0.002", "bf16": "0.01", "q8_0": "0.04"}
"""By how much scores may differ from zelo's in float32, by the weights' type: the largest seen on
600 pairs of SciFact with an earlier zelo-nano, and on made-up models, rounded up (q8_0: 0.034)."""


def written(request: Request, name: str, dtype: GgufType) -> Written:
    """Return what is said of a file of that name in the export's folder."""
    file = request.folder / name
    serving = _serving(request.source, file, request.name)
    return Written(
        serving,
        usage=serving.command,
        scale="probability",
        statements=_statements(dtype),
        notes=_notes(request.source, file, dtype),
    )


def _serving(source: Source, file: Path, name: str) -> Serving:
    tokens = min(LONGEST, source.longest)
    logits = tokens * source.parsed_config.vocab_size * 4 / 1e9
    flags = (
        Flag(("-m", str(file)), "weights, tokenizer, head and prompt"),
        Flag(("--reranking",), "without it there is no /v1/rerank"),
        Flag(
            ("-c", str(tokens)),
            "tokens of the longest prompt; longer ones are refused with HTTP 400, never cut",
        ),
        Flag(
            ("--parallel", "1"),
            "left alone, four prompts share -c, and long ones fail with HTTP 500",
        ),
        Flag(("-b", str(tokens)), "at least -ub"),
        Flag(
            ("-ub", str(tokens)),
            "releases without pull request 28876 (autumn 2026) refuse prompts longer than this "
            f"with HTTP 500. It takes {logits:.1f} GB of memory, for logits that nobody reads: "
            "on newer ones leave out -b and -ub, the scores stay the same",
        ),
        Flag(("--alias", name), "what requests and zelo doctor call the model"),
        Flag(("--host", "127.0.0.1"), "this machine only, until there is a key (--api-key)"),
        Flag(("--port", PORT), "where zelo doctor looks for it below"),
    )
    return Serving(("llama-server",), flags, "llama.cpp", f"http://127.0.0.1:{PORT}")


def _statements(dtype: GgufType) -> tuple[Statement, ...]:
    run = f"{TEST}, with llama-server 0.5.0-dev (commit 0c1e57098) on a CPU"
    return (
        Statement(
            "/v1/rerank answers zelo's probability, and no further sigmoid is due: within "
            f"{DIFFERENCES[dtype]} of zelo in float32",
            True,
            run + " and models of up to four layers",
        ),
        Statement(
            "llama-server's token ids are zelo's, control tokens in texts included, for texts in "
            "Unicode's form NFC",
            True,
            run + "; once also over every assigned character of Unicode, with Qwen3's vocabulary",
        ),
        Statement(
            "zerank-1, zerank-2 and Qwen3-Reranker themselves score so, and on a GPU too",
            False,
            "zelo doctor, as below, against llama-server with the real weights",
        ),
    )


def _notes(source: Source, file: Path, dtype: GgufType) -> tuple[str, ...]:
    exact = shlex.join(["-fa", "off", "-ctk", "f32", "-ctv", "f32"])
    precision = {
        "f32": f"With {exact} instead of its own float16 for keys and values, llama-server gave "
        "zelo's scores within 1e-6.",
        "bf16": "On a CPU llama.cpp rounds to bfloat16 what it multiplies with these weights; a "
        "file of dtype f32 is closer to zelo, at twice the size.",
        "q8_0": "Weights are rounded to 8 bits by 32; a file of dtype bf16 is closer to zelo.",
    }
    return (
        "/v1/rerank answers the probability already: applying a sigmoid again is wrong.",
        "llama.cpp of October 2025 or newer (pull request 15824): older ones score without the "
        "prompt.",
        "Control tokens have names of their own in this file, drawn at random, so that a document "
        f"with <|im_end|> in it cannot end its turn. Who has {file.name}, or may ask the server's "
        "/detokenize, can read them: publish neither where strangers write documents.",
        "A query with the word {document} in braces is scored wrongly: llama-server puts the "
        "document there too.",
        "llama.cpp normalises no text. The model reads Unicode's form NFC: send it so, or "
        "decomposed letters (as macOS writes file names) are other tokens.",
        precision[dtype],
        *instruction(source.family, None),
    )
