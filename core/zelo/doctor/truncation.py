"""What the numbers of long documents say: read whole, cut at the end, or cut where it hurts."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from zelo.doctor.claim import Claim
from zelo.doctor.lengths import Lengths, long_pair
from zelo.doctor.probes import Observations
from zelo.doctor.report import Check, Finding
from zelo.doctor.scales import OutputScale
from zelo.doctor.tolerances import JUMP

if TYPE_CHECKING:  # imports torch
    from zelo.doctor.reference import Reference

__all__ = ["length_check"]

NAME = "long documents"
USUAL = (128, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384, 32_768)
"""Lengths, in tokens, at which servers are usually told to cut prompts."""
STEADY = 4.0
"""How many times more than between whole documents a number must change where cutting begins."""

Cut = Callable[[Sequence[int], int], Sequence[int]]


def length_check(
    seen: Observations, claim: Claim, scale: OutputScale
) -> tuple[Check | None, Finding | None]:
    """Judge the numbers of long documents, which are on the scale given."""
    if NAME in seen.refusals:
        return Check(NAME, "unknown", seen.refusals[NAME]), None
    if seen.lengths is None:
        return None, None
    if finding := _against_witness(seen.lengths, claim, scale):
        return Check(NAME, "wrong", finding.evidence), finding
    if claim.reference is None:
        return _alone(seen.lengths, scale)
    return _with_weights(seen.lengths, claim, claim.reference, scale)


def _against_witness(lengths: Lengths, claim: Claim, scale: OutputScale) -> Finding | None:
    """Compare with what another program reads of a long document in the same folder."""
    if claim.long is None or claim.testimony is None:
        return None
    words, logit = claim.long
    low, high = scale.interval(logit, claim.family)
    for asked, number in zip(lengths.words, lengths.numbers, strict=True):
        if asked == words and not low <= number <= high:
            off = scale.told(abs(number - scale.number(logit)))
            by = claim.testimony.witness
            evidence = f"a document of {words:,} words is off by {off} from what {by} reads of it"
            return Finding("long-documents", evidence)
    return None


def _alone(lengths: Lengths, scale: OutputScale) -> tuple[Check, Finding | None]:
    """Judge by the numbers alone."""
    longest = lengths.words[-1]
    if lengths.refused is not None:
        text = f"read whole up to {longest:,} words; longer ones are refused, not cut"
        return Check(NAME, "ok", text), None
    if lengths.cut_at is None or lengths.cut is None:
        return Check(NAME, "ok", f"read whole up to {longest:,} words"), None
    if lengths.before is None:
        text = f"cut before {lengths.cut_at:,} words already; how, cannot be told"
        return Check(NAME, "warning", text), None
    shorter, whole, cut = (scale.logit(x) for x in (*lengths.before, lengths.cut))
    jump, usual = abs(cut - whole), abs(whole - shorter)
    if jump > JUMP and jump > STEADY * usual:
        evidence = (
            f"from {lengths.cut_at:,} words on, all documents get one number, {jump:.1f} logits "
            "from that of a whole one a few words shorter"
        )
        return Check(NAME, "wrong", evidence), Finding("suffix-cut", evidence)
    text = f"only about the first {lengths.cut_at:,} words are read; the prompt's end survives"
    return Check(NAME, "warning", text), None


def _with_weights(
    lengths: Lengths, claim: Claim, reference: "Reference", scale: OutputScale
) -> tuple[Check, Finding | None]:
    """Judge by what the weights give for each way of cutting."""
    prompts = [reference.prompts.right(long_pair(words)) for words in lengths.words]

    def fits(cut: Cut, limit: int) -> bool:
        for ids, number in zip(prompts, lengths.numbers, strict=True):
            read = ids if len(ids) <= limit else cut(ids, limit)
            low, high = scale.interval(reference.logit_of_ids(read), claim.family)
            if not low <= number <= high:
                return False
        return True

    if fits(_first, len(prompts[-1])):
        return _alone(lengths, scale)
    for limit, name, cut in _cuts(prompts[-1], reference):
        if fits(cut, limit):
            text = f"as if prompts were cut to {CUTS[name]} {limit:,} tokens"
            if name == "document":
                return Check(NAME, "warning", f"{text}; the prompt's end survives"), None
            return Check(NAME, "wrong", text), Finding(name, f"numbers are {text}")
    check, finding = _alone(lengths, scale)
    if lengths.cut_at is not None:
        return check, finding
    evidence = f"documents of up to {lengths.words[-1]:,} words are not scored as the weights do"
    return Check(NAME, "wrong", evidence), Finding("long-documents", evidence)


CUTS = {
    "document": "a shorter document of",
    "suffix-cut": "their first",
    "query-cut": "their last",
}


def _cuts(longest: Sequence[int], reference: "Reference") -> Iterator[tuple[int, str, Cut]]:
    """Return every usual way of cutting, the harmless one first."""
    end = len(reference.prompts.rendered(reference.family.prompt.partition("{document}")[2]))

    def document(ids: Sequence[int], limit: int) -> Sequence[int]:
        return [*ids[: limit - end], *ids[-end:]]

    for limit in USUAL:
        if limit < len(longest):
            yield limit, "document", document
            yield limit, "suffix-cut", _first
            yield limit, "query-cut", _last


def _first(ids: Sequence[int], limit: int) -> Sequence[int]:
    return ids[:limit]


def _last(ids: Sequence[int], limit: int) -> Sequence[int]:
    return ids[-limit:]
