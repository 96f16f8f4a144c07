"""Accelerators: what their makers publish of them.

Peaks are dense, in bfloat16 with float32 sums, of the fastest form of the card that is named
(data sheets give twice as much for sparse matrices). Sources, all NVIDIA's unless said otherwise:
the data sheets of H100, H200, A100, A10, L40S and L4; HGX B200 (a share of eight); the A10G brief
for AWS; the white papers of GA102, AD102 and RTX Blackwell for GeForce cards; AMD's data sheet of
MI300X.
"""

from dataclasses import dataclass

from zelo.errors import InputError

__all__ = ["CARDS", "Card", "card_named", "own_card"]


@dataclass(frozen=True, slots=True)
class Card:
    """One accelerator."""

    name: str
    tflops: float
    """Published peak, dense bfloat16."""
    memory_gb: float
    """10^9 bytes."""


CARDS = {
    card.name: card
    for card in (
        Card("h200", 989.4, 141),
        Card("h100", 989.4, 80),  # SXM
        Card("h100-nvl", 835.5, 94),
        Card("h100-pcie", 756, 80),
        Card("b200", 2_250, 180),
        Card("a100", 312, 80),
        Card("a100-40gb", 312, 40),
        Card("l40s", 362.05, 48),
        Card("l4", 121, 24),
        Card("a10", 125, 24),
        Card("a10g", 70, 24),
        Card("rtx-5090", 209.5, 32),
        Card("rtx-4090", 165.2, 24),
        Card("rtx-3090", 71, 24),
        Card("mi300x", 1_307.4, 192),
    )
}


def card_named(name: str) -> Card:
    """Return a card, whose name may be written with blanks or without hyphens.

    Raises:
        InputError: it is not known.
    """
    wanted = _plain(name)
    for card in CARDS.values():
        if _plain(card.name) == wanted:
            return card
    message = (
        f"the card {name!r} is not known; known are {', '.join(CARDS)}. Of another, give its "
        "published dense bfloat16 TFLOP/s and its memory in GB"
    )
    raise InputError(message)


def own_card(tflops: float, memory_gb: float) -> Card:
    """Return a card that the table lacks.

    Raises:
        InputError: a number is not above 0.
    """
    for name, value in (("tflops", tflops), ("memory_gb", memory_gb)):
        if not value > 0:
            raise InputError(f"{name}={value}; give a number above 0")
    return Card(f"a card of {tflops:g} TFLOP/s", tflops, memory_gb)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
