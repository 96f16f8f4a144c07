"""vLLM: a classifier and a score template, served on `/rerank` and `/score`.

Sources: vLLM's own code (entrypoints/pooling/scoring/io_processor.py for how query and document
become a prompt, layers/pooler/activations.py for the sigmoid, config/model.py for `head_dtype` and
`use_sep_token`) and its documentation of scoring, as of v0.32.
"""

from zelo.export.classifier import write_classifier
from zelo.export.engines import statements
from zelo.export.engines.engine import Engine, Request, Written
from zelo.export.export import Flag, Serving, Statement
from zelo.export.frames import templated
from zelo.export.weights import number_type

__all__ = ["VLLM"]

TEMPLATE = "score_template.jinja"
LONGEST = 32_768
"""Tokens of a prompt; as in `zelo`, and short enough for one card."""
PROVING = (
    "pytest -m vllm tests/test_export_vllm.py on a machine with vLLM, or zelo doctor, as below"
)


def write(request: Request) -> Written:
    """Write a model for vLLM."""
    source = request.source
    dtype = number_type(source, request.dtype)
    frame = templated(source)
    write_classifier(source, request.into, frame, dtype, request.on_bytes, template=TEMPLATE)
    serving = Serving(
        ("vllm", "serve", str(request.folder)),
        _flags(request, dtype),
        dialect="vllm",
        url="http://127.0.0.1:8000",
    )
    return Written(
        serving,
        usage=serving.command,
        scale="probability",
        statements=(
            statements.prompts("the tokenizer and the score template", safe=True),
            statements.classifier(),
            Statement(
                "vLLM loads the score row in float32 and applies one sigmoid to its product",
                False,
                f"read in vLLM's code; {PROVING}",
            ),
            Statement("vLLM answers zelo's probabilities when it is started so", False, PROVING),
        ),
        notes=(
            statements.OWN_NAMES,
            "Never send truncate_prompt_tokens: it cuts the prompt's end, and the score is read "
            "there. max_tokens_per_doc cuts the document before it is put into the prompt.",
            f"--dtype {dtype} differs from zelo's float32 by the rounding of every layer: for "
            "zerank-2 in bfloat16, vLLM's scores were seen within 0.004."
            if dtype == "bfloat16"
            else "In float32 vLLM takes slower attention kernels than in bfloat16.",
            *statements.instruction(source.family, "instruction"),
        ),
    )


def _flags(request: Request, dtype: str) -> tuple[Flag, ...]:
    longest = min(LONGEST, request.source.longest)
    return (
        Flag(("--runner", "pooling"), "scores are pooled; nothing is generated"),
        Flag(
            ("--chat-template", str(request.folder / TEMPLATE)),
            "without it vLLM joins query and document, and every score is wrong without an error",
        ),
        Flag(("--dtype", dtype), "left alone, vLLM takes float32 weights for float16"),
        Flag(
            ("--max-model-len", str(longest)),
            "longer prompts are refused, not cut; memory is set aside for this length",
        ),
        Flag(("--served-model-name", request.name), "what requests and zelo doctor call it"),
        Flag(("--host", "127.0.0.1"), "vLLM listens everywhere, and asks for no key, if not told"),
        Flag(("--port", "8000"), "where zelo doctor looks for it below"),
    )


VLLM = Engine("vllm", "vLLM", "classifier, score template and command for vllm serve", write)
