"""What was found, as values: for the terminal (`rendering`), for programs (`as_json`)."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from zelo.doctor.fixes import Fix
from zelo.doctor.mistakes import MISTAKES
from zelo.scoring.catalog import ALIASES

__all__ = ["Check", "Finding", "Outcome", "Report", "Row", "Verdict"]

OF_ZERANK = ("no-template", "no-header", "think-block", "random-head", "no-score-head")
"""Mistakes whose fixes spell out zerank's prompt or head."""
QWEN3_RERANKER = (
    "Serve it with the prompt and the head of its model card, in which the score is "
    "sigmoid(yes - no); zelo does:"
)

Verdict = Literal["correct", "wrong", "unknown"]
Outcome = Literal["ok", "wrong", "warning", "unknown"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake, with what gave it away."""

    mistake: str
    """A name of `zelo.doctor.mistakes.MISTAKES`."""
    evidence: str

    @property
    def title(self) -> str:
        """The mistake in a few words."""
        return MISTAKES[self.mistake].title


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    outcome: Outcome
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """A pair with what was expected and what came back."""

    query: str
    document: str
    expected: float | None
    got: float


@dataclass(frozen=True, slots=True)
class Report:
    """The result of an examination."""

    model: str
    """What the endpoint claims to be."""
    endpoint: str
    kind: str
    """The endpoint's dialect, or `local`."""
    family: str | None
    """The model's family, where it is known."""
    scale: str
    """What its numbers ought to be."""
    reference: str | None
    """Where the expected numbers come from; None where there were none."""
    verdict: Verdict
    max_deviation: float | None = None
    """Largest difference from what the right model gives, in the unit of the numbers."""
    deviation: str | None = None
    """The same in words, with its unit, where the numbers are right."""
    findings: tuple[Finding, ...] = ()
    checks: tuple[Check, ...] = ()
    rows: tuple[Row, ...] = ()
    error: str | None = None
    """Why nothing could be told, where the endpoint could not even be asked."""

    @property
    def exit_code(self) -> int:
        """0 for correct, 1 for wrong, 2 where it cannot be told."""
        return {"correct": 0, "wrong": 1, "unknown": 2}[self.verdict]

    def fix(self, finding: Finding) -> Fix:
        """Return what to do about a finding at this endpoint."""
        if self.family == "qwen3-reranker" and finding.mistake in OF_ZERANK:
            return Fix(QWEN3_RERANKER, f"zelo serve --model {self.model}")
        fix = MISTAKES[finding.mistake].fix_for(self.kind)
        source = ALIASES.get(self.model)
        named = {
            "{model}": self.model,
            "{repository}": (source.repo_id if source else None) or self.model,
            "{scale}": {"raw-logits": "logit"}.get(finding.mistake, finding.mistake),
        }
        return Fix(_filled(fix.text, named), _filled(fix.code, named))

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        found = [
            asdict(finding) | {"title": finding.title, "fix": asdict(self.fix(finding))}
            for finding in self.findings
        ]
        return asdict(self) | {"findings": found, "exit_code": self.exit_code}


def _filled(text: str, named: dict[str, str]) -> str:
    """Fill in names alone: other braces belong to templates and JSON."""
    for name, value in named.items():
        text = text.replace(name, value)
    return text
