"""Whether zelo reads a folder as another program does that the folder was made for."""

from zelo.doctor.claim import Claim
from zelo.doctor.report import Check, Finding
from zelo.doctor.tolerances import LOGIT, READING

__all__ = ["folder_check"]

NAME = "folder"


def folder_check(claim: Claim, *, here: bool) -> tuple[Check | None, Finding | None]:
    """Compare zelo's own reading of the weights' folder with the witness's.

    Args:
        claim: what is known.
        here: the model is in this process, so that its reading is the one that is examined. A
            server may well read the folder rightly where zelo does not.
    """
    if claim.testimony is None:
        if claim.silence is None:
            return None, None
        return Check(NAME, "unknown", f"zelo's own reading only: {claim.silence}"), None
    witness, remark = claim.testimony.witness, claim.testimony.remark
    apart = claim.apart
    bound = READING if claim.reference is not None else LOGIT  # in whatever type it computes
    logits = next(scale for scale in claim.scales if scale.name == "logit")
    largest, mean = logits.told(max(apart)), logits.told(sum(apart) / len(apart))
    if max(apart) <= bound:
        text = f"read as {witness} reads it: max deviation {largest}"
        return Check(NAME, "ok", f"{text}; {remark}" if remark else text), None
    text = f"zelo reads it otherwise than {witness}: off by up to {largest}"
    if not here:
        return Check(NAME, "warning", text), None
    evidence = (
        f"{witness} scores the {len(apart)} pairs otherwise with the folder as it is: off by up to "
        f"{largest}, {mean} on average"
    )
    return Check(NAME, "wrong", text), Finding("read-otherwise", evidence)
