"""The trials of one query after another: what is made of its documents, read and ranked."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from zelo.corpora import Collection
from zelo.evaluation.robustness.attacks import ATTACKS, PLACES, Attack, Place, altered, neutral
from zelo.evaluation.robustness.chosen import Chosen
from zelo.evaluation.robustness.long_documents import around, surrounded
from zelo.evaluation.robustness.reading import Read, Readings
from zelo.evaluation.robustness.results import Placed, Trial

__all__ = ["DEPTHS", "Trials"]

DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Where in a long document the passage is put, from its start to its end."""


@dataclass
class Trials:
    """The trials so far, each key's in the order of the queries."""

    collection: Collection
    lengths: list[int]
    seed: int
    readings: Readings
    attacks: dict[tuple[str, Place, Attack], list[Trial]] = field(default_factory=dict)
    """By reading, place and attack."""
    positions: dict[tuple[int, str, float], list[Trial]] = field(default_factory=dict)
    """By length, reading and depth."""
    left_out: Counter[str] = field(default_factory=Counter)
    """How many queries gave no trial, by the reason."""

    def measure(self, chosen: Chosen) -> None:
        """Make every trial of one query, or count why there are none."""
        if chosen.victim is None:
            self.left_out["no short irrelevant candidate in the middle of the list"] += 1
        else:
            self._attack(chosen, chosen.victim)
        if self.lengths and chosen.passage is None:
            self.left_out["no short relevant document"] += 1
        elif chosen.passage is not None:
            self._hide(chosen, chosen.passage)

    def _attack(self, chosen: Chosen, victim: str) -> None:
        text = chosen.candidates[victim]
        rivals = [other for doc_id, other in chosen.candidates.items() if doc_id != victim]
        at = list(chosen.candidates).index(victim)
        tries = [(attack, place) for place in PLACES for attack in ATTACKS]
        additions = [(attack.addition(chosen.query, text), place) for attack, place in tries]
        controls = [altered(text, neutral(len(added)), place) for added, place in additions]
        attacked = [altered(text, added, place) for added, place in additions]
        itself = next(iter(self.readings.attacked.values()))
        others = itself(chosen.query, rivals)
        # what spells no control token has the same ids in every reading, so it is read once
        before, *neutrals = _placed(itself(chosen.query, [text, *controls]), others, at)
        for name, reader in self.readings.attacked.items():
            found = _placed(reader(chosen.query, attacked), others, at)
            for (attack, place), control, after in zip(tries, neutrals, found, strict=True):
                trial = Trial(chosen.query_id, victim, len(others), before, control, after)
                self.attacks.setdefault((name, place, attack), []).append(trial)

    def _hide(self, chosen: Chosen, passage: str) -> None:
        text = self.collection.documents[passage]
        made = [text]
        tries = list(self._long(chosen, text, made))
        if not tries:
            return
        for name, reader in self.readings.positioned.items():
            others = reader(chosen.query, list(chosen.irrelevant.values()))
            before, *rest = _placed(reader(chosen.query, made), others, len(others))
            for (length, at), after in zip(tries, rest, strict=True):
                trial = Trial(chosen.query_id, passage, len(others), before, before, after)
                self.positions.setdefault((length, name, at), []).append(trial)

    def _long(self, chosen: Chosen, text: str, made: list[str]) -> Iterator[tuple[int, float]]:
        """Yield length and depth of each long document, which is put behind those made."""
        for length in self.lengths:
            if 2 * len(text) > length:
                self.left_out[f"its passage is longer than half of {length:,} characters"] += 1
                continue
            filler = around(self.collection, chosen, length - len(text), self.seed)
            if not filler:
                self.left_out["every document of the collection is its candidate"] += 1
                return
            for at in DEPTHS:
                made.append(surrounded(text, filler, at))
                yield length, at


def _placed(reads: Sequence[Read], others: Sequence[Read], at: int) -> Iterator[Placed]:
    """Rank each document among the others alone; at equal logits, those before place `at` win."""
    for read in reads:
        higher = sum(other.logit > read.logit for other in others)
        level = sum(other.logit == read.logit for other in others[:at])
        yield Placed(read.logit, read.probability, higher + level, read.truncated)
