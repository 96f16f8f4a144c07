"""What a model gives in truth, computed from its weights in the plainest way: one prompt at a time.

Shares with zelo's own scoring the reading of weights, and nothing of what makes that fast: stock
transformers runs whole prompts in float32, with its own attention, so both can be compared.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from zelo.doctor.pairs import PAIRS, Known, Pair
from zelo.doctor.prompts import RIGHT, Prompts, Way
from zelo.errors import UnsupportedModelError
from zelo.local.loading import device as devices
from zelo.local.loading.checkpoint import Checkpoint, inspect_checkpoint
from zelo.local.loading.score_head import read_score_row
from zelo.local.model import load_backbone
from zelo.scoring.families import Answer
from zelo.scoring.options import Head

__all__ = ["Reference"]


class Reference:
    """The weights of the model that an endpoint claims to be.

    Args:
        folder: the model, in any form that zelo reads.
        family: its family, where the folder does not tell.
        head: as `zelo.Reranker` takes it.
        device: a torch device; default, an accelerator if there is one.

    Raises:
        ModelError: the folder cannot be read, or is no model that zelo knows.
    """

    def __init__(
        self,
        folder: Path,
        family: str | None = None,
        device: str | None = None,
        head: Head | None = None,
    ) -> None:
        checkpoint = inspect_checkpoint(folder, family, head)
        self.family = checkpoint.family
        self.prompts = Prompts(checkpoint.files.tokenizer_json, checkpoint.encoder)
        self._checkpoint = checkpoint
        self._device = devices.choose_device(device)
        files = checkpoint.files
        self._model = load_backbone(files, self._device, torch.float32, attend="sdpa")
        encoder = self.prompts.encoder
        self._row = read_score_row(checkpoint, encoder.positive_id, encoder.negative_id)
        self._states: dict[tuple[int, ...], torch.Tensor] = {}
        self.source = f"computed in float32 from the weights in {folder}"

    def known(self) -> Known:
        """Return what the right model gives for every pair."""
        return Known(self.source, tuple(self.logits(RIGHT, PAIRS)))

    def logits(self, way: Way, pairs: Sequence[Pair]) -> list[float]:
        """Return the raw logits that a way of asking gives."""
        row = self._row if way.head is None else self._other_row(*way.head)
        return [self._logit(way.ids(self.prompts, pair), row) for pair in pairs]

    def logit_of_ids(self, ids: Sequence[int]) -> float:
        """Return the raw logit behind a prompt's last token."""
        return self._logit(ids, self._row)

    def _logit(self, ids: Sequence[int], row: torch.Tensor) -> float:
        key = tuple(ids)
        if key not in self._states:
            self._states[key] = self._last_state(key)
        return float(self._states[key] @ row)

    @torch.inference_mode()
    def _last_state(self, ids: tuple[int, ...]) -> torch.Tensor:
        tokens = torch.tensor([ids], device=self._device)
        found: Any = self._model(input_ids=tokens, use_cache=False)
        state: torch.Tensor = found.last_hidden_state[0, -1].float().cpu()
        return state

    def _other_row(self, positive: Answer, negative: Answer | None) -> torch.Tensor:
        """Return the row of other answer tokens, whatever head the folder has."""
        plain = Checkpoint(self._checkpoint.files, self.family, converted=False)
        no = None if negative is None else self._token_id(negative)
        return read_score_row(plain, self._token_id(positive), no)

    def _token_id(self, answer: Answer) -> int:
        found = self._checkpoint.files.token_id(answer.text)
        if found is None:
            raise UnsupportedModelError(f"the tokenizer has no one token for {answer.text!r}")
        return found
