"""sentence-transformers: a folder for CrossEncoder, whose predict() gives the probability."""

from typing import Any

from zelo.export.classifier import ACTIVATION, write_classifier, write_json
from zelo.export.engines import statements
from zelo.export.engines.engine import Engine, Request, Written
from zelo.export.export import Statement
from zelo.export.frames import templated
from zelo.export.weights import number_type

__all__ = ["SENTENCE_TRANSFORMERS"]

FORWARD = {"method": "forward", "method_output_name": "logits"}
FILES: dict[str, Any] = {
    "modules.json": [
        {
            "idx": 0,
            "name": "0",
            "path": "",
            "type": "sentence_transformers.base.modules.transformer.Transformer",
        }
    ],
    "sentence_bert_config.json": {
        "transformer_task": "sequence-classification",
        "modality_config": {"text": FORWARD, "message": {**FORWARD, "format": "flat"}},
        "module_output_name": "scores",
        "processing_kwargs": {"chat_template": {"add_generation_prompt": True}},
    },
    "config_sentence_transformers.json": {
        "activation_fn": ACTIVATION,
        "default_prompt_name": None,
        "model_type": "CrossEncoder",
        "prompts": {},
    },
}
USAGE = """from sentence_transformers import CrossEncoder

model = CrossEncoder({folder!r}, model_kwargs={{"dtype": "{dtype}"}})
model.predict([("a query", "a document")])  # the probability"""


def write(request: Request) -> Written:
    """Write a model for sentence-transformers."""
    source = request.source
    dtype = number_type(source, request.dtype)
    frame = templated(source)
    write_classifier(
        source, request.into, frame, dtype, request.on_bytes, template="chat_template.jinja"
    )
    for name, content in FILES.items():
        write_json(request.into / name, content)
    return Written(
        None,
        usage=USAGE.format(folder=str(request.folder), dtype="float32"),
        scale="probability",
        statements=(
            statements.prompts("the tokenizer and the chat template", safe=True),
            statements.classifier(),
            Statement(
                "CrossEncoder.predict() gives zelo's probabilities within 1e-5, in float32",
                True,
                "tests/test_export_engines.py, with sentence-transformers itself, for each family",
            ),
        ),
        notes=(
            statements.OWN_NAMES,
            "sentence-transformers 5.6 or newer: older ones cut long prompts at their end.",
            "predict() gives the probability already; applying a sigmoid again is wrong.",
            *((statements.ROUNDED_ROW,) if dtype == "bfloat16" else ()),
            *statements.instruction(source.family, "prompt"),
        ),
    )


SENTENCE_TRANSFORMERS = Engine(
    "sentence-transformers",
    "sentence-transformers",
    "folder for CrossEncoder, whose predict() gives the probability",
    write,
)
