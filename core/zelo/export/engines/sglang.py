"""SGLang: a classifier whose tokenizer writes the frame, served on `/v1/rerank`.

SGLang gives a classifier query and document as a pair of texts and knows no template for it, so
the frame has to come from the tokenizer. Sources: SGLang's own code
(entrypoints/openai/serving_rerank.py, models/qwen3_classification.py, managers/
tokenizer_manager.py) and its issue #38768.
"""

from zelo.errors import UnsupportedModelError
from zelo.export.classifier import write_classifier
from zelo.export.engines import statements
from zelo.export.engines.engine import Engine, Request, Written
from zelo.export.export import Flag, Serving, Statement
from zelo.export.frames import paired
from zelo.export.weights import number_type

__all__ = ["SGLANG"]

PROVING = "zelo doctor, as below, against a running SGLang"


def write(request: Request) -> Written:
    """Write a model for SGLang."""
    source = request.source
    if source.family.name == "qwen3-reranker":
        message = (
            "SGLang gives a classifier no template, and a tokenizer cannot write Qwen3-Reranker's "
            "prompt around a pair of texts. SGLang serves the original weights by itself: "
            "python -m sglang.launch_server --model-path FOLDER --chat-template "
            "examples/chat_template/qwen3_reranker.jinja"
        )
        raise UnsupportedModelError(message)
    dtype = number_type(source, request.dtype)
    frame = paired(source)
    # a Linear with a bias, which SGLang leaves random where the checkpoint has none (#38768)
    write_classifier(source, request.into, frame, dtype, request.on_bytes, bias=True)
    serving = Serving(
        ("python", "-m", "sglang.launch_server", "--model-path", str(request.folder)),
        _flags(request, dtype),
        dialect="sglang",
        url="http://127.0.0.1:30000",
    )
    return Written(
        serving,
        usage=serving.command,
        scale="logit/5",
        statements=(
            statements.prompts("the tokenizer around a pair of texts", safe=True),
            statements.classifier(),
            Statement("SGLang gives the tokenizer the pair as it is", False, PROVING),
            Statement("SGLang answers zelo's logits, divided by 5, so", False, PROVING),
        ),
        notes=(
            "SGLang applies no sigmoid: /v1/rerank answers the logit divided by 5.",
            "/v1/classify takes a softmax over the one label and always answers 1: do not use it.",
            "Older releases answer an error, because a score of one label is a list there; "
            "upgrade.",
            *((statements.ROUNDED_ROW,) if dtype == "bfloat16" else ()),
            "An empty text is written without its line break: SGLang refuses empty documents, and "
            "zelo's client never sends one.",
            *statements.instruction(source.family, None),
        ),
    )


def _flags(request: Request, dtype: str) -> tuple[Flag, ...]:
    return (
        Flag(("--is-embedding",), "or SGLang loads the model for generating"),
        Flag(("--dtype", dtype), "left alone, SGLang takes float32 weights for float16"),
        Flag(
            ("--disable-radix-cache",),
            "as in SGLang's own command for rerankers: all of a prompt is read in one pass",
        ),
        Flag(("--chunked-prefill-size", "-1"), "the same: the score is read at the prompt's end"),
        Flag(("--served-model-name", request.name), "what requests and zelo doctor call it"),
        Flag(("--host", "127.0.0.1"), "this machine only, until there is a key"),
        Flag(("--port", "30000"), "where zelo doctor looks for it below"),
    )


SGLANG = Engine(
    "sglang", "SGLang", "classifier and framing tokenizer for sglang.launch_server", write
)
