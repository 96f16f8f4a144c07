"""The values that travel out of zelo: what a caller gets back. No model, no tensors."""

from dataclasses import dataclass

__all__ = ["RankedDocument", "Stats"]


@dataclass(frozen=True, slots=True)
class RankedDocument:
    """One document in a ranking, best first.

    Ordered by logit, which still tells documents apart where the probability has saturated;
    equal logits keep the order in which the documents were given.
    """

    index: int
    """Position in the caller's list of documents, from 0."""
    score: float
    """Probability of relevance in [0, 1]; 0.0 for an empty document."""
    document: str
    """The document's text as it was given."""
    logit: float
    """The model's raw output, unbounded; minus infinity for an empty document."""
    truncated: bool = False
    """The document was longer than the limit, and its end was not read."""
    empty: bool = False
    """The document was empty or blank, and the model never saw it."""
    tokens: int = 0
    """Length of the prompts read for it, each with its query and frame, whatever of them was shared
    with other documents; 0 where nobody counted."""
    source: str | None = None
    """Who scored, where it was not the first choice: another server, or the fallback."""


@dataclass(frozen=True, slots=True)
class Stats:
    """What a loaded model has done so far; shared by all rerankers on the same model."""

    calls: int = 0
    """Scoring calls finished, one per query."""
    documents: int = 0
    """Token sequences scored: duplicates count once, each window of a long document counts."""
    packs: int = 0
    """Forward passes of the model."""
    tokens: int = 0
    """Tokens that went through the model, shared query prefixes counted once per pack."""
    room: int = 0
    """Tokens that might have gone through it in as many packs, each as full as it may be."""
    padding: int = 0
    """Tokens among them that stood for nothing. Packs are ragged, so this stays 0 on CPU."""
    prefix_tokens_saved: int = 0
    """Query tokens that were not computed again, because documents shared their prefix."""
    merged_callers: int = 0
    """Calls that shared at least one forward pass with another call."""
    out_of_memory: int = 0
    """Packs for which memory ran out; each was computed again in halves, or failed its call."""
