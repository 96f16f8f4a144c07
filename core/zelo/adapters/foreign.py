"""What other rerankers call their options, and what to write here instead.

People switch by changing one line, and bring their arguments along. A name that would be ignored
is refused with ours in the message: an option that does nothing is worse than an error.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from zelo.errors import InputError

__all__ = ["FOREIGN", "Foreign", "refuse_foreign"]


@dataclass(frozen=True, slots=True)
class Foreign:
    """One option with the names that other rerankers give it."""

    names: tuple[str, ...]
    here: str
    """What to write here, or why there is nothing to write."""

    @property
    def option(self) -> str | None:
        """The option of ours that is named first, or None where there is none."""
        found = re.match(r"`(\w+)", self.here)
        return found[1] if found else None


FOREIGN = (
    Foreign(("top_k",), "`top_n`"),
    Foreign(("model_name", "model_id", "model_name_or_path"), "`model`"),
    Foreign(("score_threshold", "threshold"), "`min_score`, a probability from 0 to 1"),
    Foreign(("trust_remote_code",), "nothing: a model's own code is never run"),
    Foreign(
        ("use_fp16",),
        '`dtype="float16"`; the default is bfloat16 where the hardware computes in it, and float32 '
        "for models as small as zelo-nano",
    ),
    Foreign(("torch_dtype",), "`dtype`"),
    Foreign(("cache_folder",), "`cache_dir`"),
    Foreign(
        ("max_length", "max_tokens_per_doc", "max_chunks_per_doc", "context_size"),
        "`max_document_tokens`, and `long_documents` for what becomes of the rest",
    ),
    Foreign(
        ("truncation", "truncate", "truncate_text"), '`long_documents="truncate"` or `"chunk"`'
    ),
    Foreign(("batch_size", "max_batch_size"), "`max_batch_tokens`: packs are filled by tokens"),
    Foreign(("client", "async_client", "scorer"), "`reranker`, a `zelo.Reranker`"),
    Foreign(
        ("cross_encoder_kwargs", "model_kwargs"),
        "`device`, `dtype`, `revision`, `cache_dir` and `local_files_only`, each on its own",
    ),
    Foreign(
        (
            *("cohere_api_key", "voyage_api_key", "voyageai_api_key", "jina_api_key"),
            *("nvidia_api_key", "pinecone_api_key", "zeroentropy_api_key", "auth_token"),
        ),
        "`api_key`",
    ),
    Foreign(("url", "api_base", "endpoint", "endpoint_url"), "`base_url`"),
    Foreign(("request_timeout",), "`timeout`, in seconds"),
    Foreign(("retries", "num_retries"), "`max_retries`"),
    Foreign(("prompts", "prompt_name", "query_instruction"), "`instruction`"),
    Foreign(("mode",), "`metadata_mode` in LlamaIndex"),
    Foreign(("prefix_metadata",), "`rank_fields` in LangChain"),
    Foreign(("rank_fields",), "`metadata_mode`, and what the nodes exclude from it"),
    Foreign(("metadata_mode",), "`rank_fields`, a list of metadata keys"),
    Foreign(("normalize", "activation_fn", "activation_fct"), "nothing: scores are probabilities"),
    Foreign(("show_progress_bar", "show_progress", "verbose"), "`progress`, a callable"),
    Foreign(("raise_on_error", "fail_open"), '`on_error="raise"` or `"keep_order"`'),
    Foreign(("latency",), "nothing: it was an option of the vendor's hosted API"),
)
"""Every name known, for both frameworks. A name that an adapter itself has is not foreign to it."""


def refuse_foreign(given: Mapping[str, object], own: Collection[str]) -> None:
    """Refuse the options that belong to other rerankers, and tell which of its own to use.

    What an adapter has no counterpart for is left to pydantic, which forbids unknown names.

    Raises:
        InputError: names each of them, with what to write instead. Values are not repeated.
    """
    told = [
        f"{name}: here, {foreign.here}"
        for foreign in FOREIGN
        if foreign.option is None or foreign.option in own
        for name in foreign.names
        if name in given and name not in own
    ]
    if told:
        message = f"options of another reranker were given. {'; '.join(told)}"
        raise InputError(message)
