"""The mistakes that are known, each with what it is and how it is mended, server by server.

Sources: the servers' own documentation and issues, and reports of people who serve zerank with
vLLM, llama.cpp, text-embeddings-inference, Infinity, Baseten and MLX (2025-11 to 2026-10).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from zelo.doctor.fixes import (
    GGUF,
    HEAD,
    NO_TEMPLATES,
    POOLER,
    PROBABILITY,
    RECONVERT,
    WITH_TEMPLATE,
    Fix,
)
from zelo.scoring.families import ZERANK_PROMPT

__all__ = ["MISTAKES", "Mistake", "mistake_of_scale"]


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something that people who serve a reranker are known to get wrong."""

    name: str
    title: str
    what: str
    """What happens, in a sentence."""
    fix: Fix
    """What to do where nothing more is known."""
    fixes: Mapping[str, Fix] = field(default_factory=dict)
    """What to do by the endpoint's kind: a dialect's name or `local`."""

    def fix_for(self, kind: str) -> Fix:
        """Return what to do with an endpoint of this kind."""
        return self.fixes.get("vllm" if kind == "vllm-score" else kind, self.fix)


MISTAKES = {
    mistake.name: mistake
    for mistake in (
        Mistake(
            "no-template",
            "no template",
            "The model is given query and document without zerank's prompt around them.",
            Fix(
                "Put every pair into zerank's frame before the model sees it, with a line break at "
                "its end:",
                ZERANK_PROMPT,
            ),
            {
                "vllm": WITH_TEMPLATE,
                "tei": NO_TEMPLATES,
                "infinity": NO_TEMPLATES,
                "llama.cpp": GGUF,
            },
        ),
        Mistake(
            "no-header",
            "generation header missing",
            "The prompt ends with the document's turn, where the assistant's has to be opened.",
            Fix(
                "End the prompt with the assistant header: add_generation_prompt=True where a chat "
                "template is applied, or this line after the document's turn, with a line break at "
                "its end:",
                "<|im_start|>assistant",
            ),
            {"vllm": WITH_TEMPLATE, "llama.cpp": GGUF},
        ),
        Mistake(
            "think-block",
            "empty think block in the prompt",
            "The prompt goes on behind the assistant header with an empty think block, which "
            "zerank was not trained with.",
            Fix(
                "Leave enable_thinking=False out where the chat template is applied, or take "
                "zerank's own template instead of Qwen3's."
            ),
            {"vllm": WITH_TEMPLATE},
        ),
        Mistake(
            "qwen3-recipe",
            "Qwen3-Reranker's recipe",
            "The model is asked or read as a Qwen3-Reranker: its prompt with instruction and think "
            "block, or its score, 'yes' minus 'no'. zerank has neither.",
            Fix(
                "Take zerank's prompt, and as the raw score the logit of the one token 'Yes' "
                "(9454, with a capital); the score is sigmoid(logit / 5). In sentence-transformers "
                "that needs the folder's modules.json: without it, any Qwen3 is read as "
                "Qwen3-Reranker."
            ),
            {"vllm": WITH_TEMPLATE, "llama.cpp": GGUF},
        ),
        Mistake(
            "zerank-recipe",
            "zerank's recipe",
            "A Qwen3-Reranker is asked or read as a zerank.",
            Fix(
                "Take Qwen3-Reranker's prompt, with its instruction and think block, and as the "
                "score sigmoid(yes - no)."
            ),
        ),
        Mistake(
            "read-otherwise",
            "the folder is read otherwise",
            "The program that the folder was made for reads other scores in it: zelo's are not "
            "those of the model.",
            Fix(
                "Look for what the folder says besides weights and prompt: a default prompt, a "
                "template or a length of its own in sentence-transformers' files, an "
                "adapter_config.json beside the weights, two sets of weights (model.safetensors "
                "and an index), an lm_head.weight beside tie_word_embeddings. Save the model "
                "again without it (merge the adapter, keep one set of weights); score with the "
                "other program until then."
            ),
        ),
        Mistake(
            "random-head",
            "random score head",
            "The order has nothing to do with relevance: the head was never loaded, and was filled "
            "with random numbers instead. The loader's only sign is a line such as 'newly "
            "initialized: score.weight'.",
            RECONVERT,
            {"vllm": HEAD, "llama.cpp": GGUF},
        ),
        Mistake(
            "no-score-head",
            "no score head",
            "Every document gets the same number: the file has no head to score with.",
            RECONVERT,
            {"vllm": HEAD, "llama.cpp": GGUF},
        ),
        Mistake(
            "raw-logits",
            "raw logits",
            "The numbers are the model's raw logits, where probabilities were expected.",
            PROBABILITY,
            {
                "vllm": Fix(
                    f'{POOLER} --pooler-config \'{{"logit_sigma": 5, "use_activation": true}}\' '
                    "(logit_sigma: 1 for a head that was divided by 5 when it was converted), or "
                    "tell each client: Reranker(..., score_scale='logit')."
                )
            },
        ),
        Mistake(
            "logit/5",
            "logits divided by five",
            "The numbers are a fifth of the raw logits, where probabilities were expected: only "
            "the sigmoid is missing.",
            PROBABILITY,
            {
                "vllm": Fix(
                    f'{POOLER} "use_activation": true in --pooler-config, or tell each client: '
                    "Reranker(..., score_scale='logit/5')."
                )
            },
        ),
        Mistake(
            "probability",
            "probabilities",
            "The numbers are probabilities, sigmoid(logit / 5), where logits were expected.",
            Fix("Say --score-scale probability here, and score_scale='probability' to clients."),
        ),
        Mistake(
            "double-sigmoid",
            "double sigmoid",
            "A sigmoid is applied to what is a probability already, so that every number lies "
            "between 0.5 and 0.73.",
            Fix(
                "Take one sigmoid away: either the server's activation, or the one in the code "
                "around it that 'normalises' scores."
            ),
            {"vllm": Fix("Leave out the sigmoid in the code behind vLLM: its scores have it.")},
        ),
        Mistake(
            "wrong-divisor",
            "logits not divided by five",
            "The numbers are sigmoid(logit) in place of sigmoid(logit / 5): the order is right, "
            "but scores crowd at 0 and 1, and no threshold means what it should.",
            Fix(
                "Divide the logit by 5 before the sigmoid: in sentence-transformers, take "
                "predict()'s raw output and apply torch.sigmoid(x / 5) to it."
            ),
            {
                "vllm": Fix(
                    f'{POOLER} --pooler-config \'{{"logit_sigma": 5, "use_activation": true}}\'.'
                )
            },
        ),
        Mistake(
            "divided-twice",
            "logits divided by five twice",
            "The numbers are sigmoid(logit / 25): the head was divided by 5 when it was converted, "
            "and the server does so again.",
            Fix("Let one of the two divide: take the undivided head, or a divisor of 1."),
            {"vllm": Fix(f'{POOLER} "logit_sigma": 1 in --pooler-config.')},
        ),
        Mistake(
            "suffix-cut",
            "suffix cut by truncation",
            "A prompt that is too long loses its end, and with it the assistant header behind "
            "which the score is read.",
            Fix(
                "Cut the document before it is put into the prompt, never the prompt; in "
                "sentence-transformers, upgrade to 5.6 or later. Until then, cut documents in the "
                "client: Reranker(..., max_document_tokens=N) where the dialect has a field for it."
            ),
            {
                "vllm": Fix(
                    "Never send truncate_prompt_tokens. Cut documents with max_tokens_per_doc "
                    "instead, which Reranker(..., max_document_tokens=N) does, or raise "
                    "--max-model-len."
                )
            },
        ),
        Mistake(
            "query-cut",
            "beginning cut by truncation",
            "A prompt that is too long loses its beginning, and with it the query.",
            Fix("Cut the document before it is put into the prompt, never the prompt."),
            {
                "vllm": Fix(
                    "Never send truncation_side=left; cut documents with max_tokens_per_doc."
                )
            },
        ),
        Mistake(
            "order",
            "input order not restored",
            "The numbers are right, but given to other documents: what was sorted, by score or by "
            "length, was not put back.",
            Fix(
                "Return each score with the index that its document had in the request, or put "
                "scores back to input order before they are returned."
            ),
        ),
        Mistake(
            "lower-precision",
            "fewer bits than the model needs",
            "Prompt, head and scale are right, but the numbers are further off than bfloat16 "
            "explains: the weights are quantised, or another revision.",
            Fix(
                "Serve the original weights in bfloat16, or in 8 bits (Q8_0 and the vendor's fp8 "
                "stay within 0.02 of a score; 4 bits change the order)."
            ),
        ),
        Mistake(
            "long-documents",
            "long documents read otherwise",
            "Short pairs are right and long ones are not, though nothing of them was cut.",
            Fix(
                "Look for what only long prompts meet: RoPE scaling (YaRN must be off), sliding "
                "windows, chunks, a quantised KV cache; of a folder, a length in "
                "sentence-transformers' files or tokenizer_config.json."
            ),
        ),
        Mistake(
            "unrelated",
            "order unrelated to relevance",
            "A random score head gives this, and so do some wrong prompts.",
            Fix(
                "Compare with the weights, which tells them apart: zelo doctor ... --reference "
                "FOLDER. Meanwhile look whether the server's log says 'newly initialized: "
                "score.weight' (a random head), and whether it was given a template for scoring."
            ),
        ),
        Mistake(
            "other",
            "another model, or another prompt",
            "The numbers match neither the right model nor a mistake that is known.",
            Fix(
                "Compare with the weights, which tells all mistakes apart: zelo doctor ... "
                "--reference FOLDER. If that finds none either, the server has other weights."
            ),
        ),
    )
}


def mistake_of_scale(name: str) -> str:
    """Return the mistake that it is to answer on this scale where another one was expected."""
    return "raw-logits" if name == "logit" else name
