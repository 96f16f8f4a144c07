"""Writing weights a piece at a time: a model of any size takes a few dozen megabytes of memory.

The shards stay as they are in the source. Knows tensors and safetensors files; knows no engine.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal, get_args

import torch

from zelo.errors import InputError, ModelFileError
from zelo.export.export import OnBytes
from zelo.export.source import Source
from zelo.local.loading.tensors import TORCH, StoredTensor

__all__ = ["Dtype", "number_type", "write_weights"]

Dtype = Literal["bfloat16", "float32"]
"""How the backbone's weights may be stored for engines that read safetensors."""

KINDS: dict[str, str] = {"bfloat16": "BF16", "float32": "F32"}


@dataclass(frozen=True, slots=True)
class Planned:
    """A tensor as it will be written."""

    tensor: StoredTensor | torch.Tensor
    name: str
    kind: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return torch.Size(self.shape).numel() * TORCH[self.kind].itemsize

    def pieces(self) -> Iterator[memoryview]:
        """Yield its bytes.

        Raises:
            ModelFileError: a number is NaN or infinite, or does not fit the type it becomes.
        """
        for numbers in self._numbers():
            changed = numbers.to(TORCH[self.kind])
            if not torch.isfinite(changed).all():
                message = (
                    f"tensor {self.name} holds NaN or infinity; the file is damaged, or its "
                    f"numbers do not fit {self.kind}"
                )
                raise ModelFileError(message)
            yield changed.view(torch.uint8).numpy().data

    def _numbers(self) -> Iterator[torch.Tensor]:
        if isinstance(self.tensor, torch.Tensor):
            yield self.tensor.detach().reshape(-1)
        else:
            yield from self.tensor.numbers()


def number_type(source: Source, dtype: str | None) -> Dtype:
    """Return how the weights will be stored: as they are, if nothing else is said.

    Half precision becomes float32, which holds all of its numbers.

    Raises:
        InputError: float16 is asked for, or a type that is not known.
    """
    if dtype is None:
        kinds = {tensor.kind for tensor in source.tensors}
        return "bfloat16" if kinds == {"BF16"} else "float32"
    if dtype not in get_args(Dtype):
        why = (
            "float16 has too small a range for these models, and their scores would change; "
            if dtype == "float16"
            else ""
        )
        raise InputError(f"dtype={dtype!r}: {why}choose one of {', '.join(get_args(Dtype))}")
    return dtype  # type: ignore[return-value]


def write_weights(
    source: Source,
    folder: Path,
    dtype: Dtype,
    head: Mapping[str, torch.Tensor],
    on_bytes: OnBytes,
) -> None:
    """Write the backbone and a head, with an index if there is more than one shard.

    Args:
        source: the model.
        folder: an empty folder.
        dtype: number type of the backbone.
        head: more tensors, by name, written as they are.
        on_bytes: told as bytes are written.

    Raises:
        ModelFileError: the source cannot be read, or its weights are not finite.
    """
    shards = _shards(source, KINDS[dtype], head)
    total = sum(one.size for shard in shards for one in shard)
    done = 0
    for number, shard in enumerate(shards, 1):
        path = folder / _shard_name(number, len(shards))
        with path.open("wb") as file:
            file.write(_header(shard))
            for one in shard:
                for piece in one.pieces():
                    file.write(piece)
                    done += len(piece)
                    on_bytes(done, total)
            os.fsync(file.fileno())
    if len(shards) > 1:
        places = {
            one.name: _shard_name(number, len(shards))
            for number, shard in enumerate(shards, 1)
            for one in shard
        }
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
        text = json.dumps(index, indent=2) + "\n"
        (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")


def _shards(source: Source, kind: str, head: Mapping[str, torch.Tensor]) -> list[list[Planned]]:
    shards = [
        [Planned(tensor, tensor.name, kind, tensor.shape) for tensor in tensors]
        for _, tensors in groupby(source.tensors, key=lambda tensor: tensor.path)
    ]
    kinds = {number: name for name, number in TORCH.items()}
    shards[-1] += [
        Planned(tensor, name, kinds[tensor.dtype], tuple(tensor.shape))
        for name, tensor in head.items()
    ]
    # wide numbers first, so that each tensor lies at a multiple of its numbers' size
    return [sorted(shard, key=lambda one: -TORCH[one.kind].itemsize) for shard in shards]


def _shard_name(number: int, shards: int) -> str:
    return "model.safetensors" if shards == 1 else f"model-{number:05}-of-{shards:05}.safetensors"


def _header(shard: list[Planned]) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    start = 0
    for one in shard:
        end = start + one.size
        entries[one.name] = {"dtype": one.kind, "shape": one.shape, "data_offsets": [start, end]}
        start = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data begins at a multiple of 8
    return len(text).to_bytes(8, "little") + text
