"""Baseten's embeddings inference (BEI): a classifier that is sent whole prompts on `/predict`.

Sources: Baseten's reference of BEI's config.yaml, and its published conversions of zerank.
"""

import shlex

from zelo.export.classifier import write_classifier
from zelo.export.engines import statements
from zelo.export.engines.engine import Engine, Request, Written
from zelo.export.export import Flag, Serving, Statement
from zelo.export.frames import plain
from zelo.export.weights import number_type

__all__ = ["BASETEN"]

TRUSS = "truss"
REPOSITORY = "YOUR-ORGANISATION"
URL = "https://model-YOUR-MODEL.api.baseten.co/environments/production/sync"
PROVING = "zelo doctor, as below, against a deployment of yours"
CONFIG = """# Baseten's embeddings inference for {model}.
# Put the repository that you upload the weights to in the place of {repository}.
model_name: {name}
resources:
  accelerator: H100
  use_gpu: true
trt_llm:
  inference_stack: v1
  build:
    base_model: encoder
    checkpoint_repository:
      source: HF
      repo: {repository}/{name}
      revision: main
    max_num_tokens: {longest}
    quantization_type: no_quant  # fp8 changes scores
  runtime:
    webserver_default_route: /predict
"""


def write(request: Request) -> Written:
    """Write a model for Baseten."""
    source = request.source
    dtype = number_type(source, request.dtype)
    undivided = source.family.scale == 1
    frame = plain(source)
    write_classifier(source, request.into, frame, dtype, request.on_bytes)
    config = CONFIG.format(
        model=source.name, name=request.name, repository=REPOSITORY, longest=source.longest
    )
    (request.into / TRUSS).mkdir()
    (request.into / TRUSS / "config.yaml").write_text(config, encoding="utf-8")
    truss = request.folder / TRUSS
    serving = Serving(
        ("truss", "push", str(truss)),
        (Flag(("--publish",), "a production deployment, under the address that clients use"),),
        dialect="baseten",
        url=URL,
    )
    upload = ["hf", "upload", f"{REPOSITORY}/{request.name}", str(request.folder), "--private"]
    return Written(
        serving,
        usage=f"{shlex.join(upload)}\n{serving.command}",
        scale="logit" if undivided else "logit/5",
        statements=(
            statements.prompts("zelo's client and this tokenizer", safe=False),
            statements.classifier(),
            Statement("TensorRT-LLM builds this checkpoint", False, PROVING),
            Statement("BEI answers zelo's probabilities on /predict so", False, PROVING),
        ),
        notes=(
            "Clients send whole prompts, and control tokens in a text are control there: zelo's "
            "client refuses such a text; any other client has to look for them itself, or a "
            "document can forge its own score.",
            "/predict answers the probability; with raw_scores true, as zelo's client asks, the "
            f"{'logit' if undivided else 'logit divided by 5'}.",
            "Send truncate false: cutting a prompt takes its end away, where the score is read.",
            *statements.instruction(source.family, None),
        ),
    )


BASETEN = Engine(
    "baseten", "Baseten's embeddings inference", "classifier and config.yaml for truss push", write
)
