"""What to do against a mistake: what several of them share, server by server.

`{model}`, `{repository}` and `{scale}` are filled in by the report. vLLM's recipe is that of
cohere-ai/rcp-ndcg for v0.31; the score template renders the frame of `zelo.scoring.families`.
"""

from dataclasses import dataclass

__all__ = [
    "GGUF",
    "HEAD",
    "NO_TEMPLATES",
    "POOLER",
    "PROBABILITY",
    "RECONVERT",
    "SCORE_TEMPLATE",
    "WITH_TEMPLATE",
    "Fix",
]

SCORE_TEMPLATE = r"""{%- for m in messages if m.role == "query" -%}
{{- "<|im_start|>system\n" + m.content + "<|im_end|>\n" -}}
{%- endfor -%}
{%- for m in messages if m.role == "document" -%}
{{- "<|im_start|>user\n" + m.content + "<|im_end|>\n" -}}
{%- endfor -%}
{{- "<|im_start|>assistant\n" -}}"""
"""zerank's frame as a score template. The header stands there unconditionally: vLLM renders score
templates without asking for it."""
VLLM = r"""vllm serve {repository} --runner pooling \
  --hf-overrides '{"architectures": ["Qwen3ForSequenceClassification"],
    "classifier_from_token": ["Yes"], "method": "no_post_processing"}' \
  --pooler-config '{"logit_sigma": 5, "use_activation": true}' \
  --chat-template score_template.jinja"""
LLAMA_CPP = "llama-server -m {model}-Q8_0.gguf --reranking --parallel 1 -c 8192 -b 8192 -ub 8192"
SERVE = "zelo serve --model {model}"


@dataclass(frozen=True, slots=True)
class Fix:
    """What to do: a sentence or two, and perhaps something to type."""

    text: str
    code: str = ""


WITH_TEMPLATE = Fix(
    "Save this as score_template.jinja and give it with --chat-template; the checkpoint's own "
    "template is ignored for scoring:",
    f"{SCORE_TEMPLATE}\n\n{VLLM}",
)
NO_TEMPLATES = Fix(
    "This server gives texts to the model as they are and has no template for scoring. Serve the "
    "model with vLLM and a score template, or with zelo:",
    SERVE,
)
GGUF = Fix(
    "Use a GGUF file that was converted with its score head and its template (one of token 'Yes', "
    "pooling 'rank'); most on the hub have neither. Start it with --reranking:",
    LLAMA_CPP,
)
RECONVERT = Fix(
    "Convert the original checkpoint again: score.weight is row 9454 ('Yes') of "
    "model.embed_tokens.weight, divided by 5 if the server applies a plain sigmoid. Or serve the "
    "original, whose head zelo reads itself:",
    SERVE,
)
HEAD = Fix("Let vLLM make the head from the token 'Yes' as it loads the original checkpoint:", VLLM)
PROBABILITY = Fix(
    "The model is right; only the scale is another one. Let the server answer sigmoid(logit / 5), "
    "or tell each client what it answers: Reranker(..., score_scale='{scale}'). Then examine it "
    "with --score-scale {scale}."
)
POOLER = "Start the server with"
