"""How far apart two numbers may be and still be the same: each bound with what set it."""

__all__ = [
    "ALIKE",
    "DECIMALS",
    "EQUAL",
    "JUMP",
    "LOGIT",
    "LOWER_PRECISION_LOGIT",
    "LOWER_PRECISION_SCORE",
    "MARGIN",
    "NOTHING",
    "PLATEAU",
    "READING",
    "RELATED",
    "ROUNDING",
    "SCORE",
    "UNRELATED",
]

LOGIT = 0.25
"""Raw logits of the same prompt. Measured on zerank-2 by its users: bfloat16 against float32 up to
0.183, batches of 1 against 8 up to 0.19, vLLM against float32 up to 0.136."""
READING = 0.01
"""Raw logits of one folder by two programs, both in float32. Measured: up to 3e-6 on models of two
layers. A prompt with something more or less in it moves them by tenths and whole units."""
SCORE = 0.01
"""Scores sigmoid(logit / 5) of the same prompt: the bound of sentence-transformers' own test of
zerank-1-small. Measured: bfloat16 up to 0.0053, vLLM 0.0040."""
DECIMALS, ROUNDING = 1e-4, 2.0**-8
"""What writing a number down may change: four decimals, or the 8 bits that bfloat16 keeps."""
LOWER_PRECISION_SCORE, LOWER_PRECISION_LOGIT = 0.10, 2.0
"""Scores of the right prompt with fewer bits. Measured on zerank-2: Q6 to Q8 up to 0.021, Q4_K_M
up to 0.10, which is 2 logits where the score is steepest."""
ALIKE = 0.9
"""Spearman correlation from which an order is that of the same prompts and weights, computed with
fewer bits (GGUF files: Kendall 0.994), or of a mistake made in a slightly other way."""
RELATED = 0.5
"""Spearman correlation from which two rerankers may both know the subject. Over 12 pairs, chance
alone comes to this in one of ten cases."""
UNRELATED = 0.3
"""Spearman correlation below which an order has nothing to do with relevance: chance alone stays
below it in five of six cases."""
MARGIN = 3.0
"""A mistake's prediction that does not fit within tolerance is taken for what happened if it errs
this many times less than the right one. Measured: the mistakes of vLLM's templates are off by
7 to 11 logits on average, forty times the tolerance."""
EQUAL = 1e-3
"""Part of the range of all numbers within which two answers are to the same prompt. Repeated alone
in a request, it gives the same number to the last bit on most machines; other prompts do not."""
PLATEAU = 1e-4
"""The same, for long documents of which the same part was read: their scores lie close together
anyway, so less is allowed."""
JUMP = 1.0
"""Logits by which a score must change where documents begin to be cut, to say that more was cut
than a document's end: four times the tolerance."""
NOTHING = 1e-6
"""Numbers below this, all of them, come of no head at all: GGUF files without one give 1e-20."""
