"""What is said of several engines in the same words."""

from zelo.export.export import Statement
from zelo.scoring.families import Family

__all__ = ["OWN_NAMES", "ROUNDED_ROW", "classifier", "instruction", "prompts"]

OWN_NAMES = (
    "Control tokens have names of their own in this export's tokenizer and template, drawn at "
    "random, so that a document with <|im_end|> in it cannot end its turn. Who has these files, or "
    "may ask a server's /tokenize or /detokenize, can read them and forge a prompt: publish "
    "neither where strangers write documents."
)
ROUNDED_ROW = (
    "The score row is stored in float32, but loaded in bfloat16 with all other weights: that "
    "rounding alone moved zelo-nano's scores by up to 0.0006 (325 pairs). float32 avoids it."
)


def prompts(who: str, *, safe: bool) -> Statement:
    """Return what is said of the prompts, which each export compares with zelo's."""
    texts = "white space, scripts and control tokens" if safe else "white space and scripts"
    return Statement(
        f"prompts written by {who} are zelo's, token for token",
        True,
        f"compared while exporting, by transformers' tokenizer, on texts with {texts}",
    )


def classifier() -> Statement:
    """Return what is said of the weights and the head."""
    return Statement(
        "sigmoid(logit) of the classifier is zelo's probability within 1e-5, in float32",
        True,
        "tests/test_export_scores.py, with transformers' Qwen3ForSequenceClassification",
    )


def instruction(family: Family, place: str | None) -> tuple[str, ...]:
    """Return where an instruction goes, for families that take one.

    Args:
        family: the model's family.
        place: what the engine calls a place of its own for it; None where it has none.
    """
    if not family.takes_instruction:
        return ()
    if place is not None:
        return (
            f"An instruction goes into `{place}`; the template puts it where the model reads it.",
        )
    if family.instructed_query is not None:
        return (
            "An instruction is written into the query, as zelo's client does: "
            f"{family.instructed_query!r}.",
        )
    return ("The prompt holds the family's default instruction; no other can be said.",)
