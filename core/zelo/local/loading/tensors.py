"""Which file holds which tensor of a backbone, and its numbers, read when they are wanted.

Loading, the doctor's reference and exporting all take a folder's layers from here. Knows
safetensors files; knows no engine.
"""

import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from zelo.errors import ModelFileError
from zelo.local.loading.checkpoint import CheckpointFiles
from zelo.local.loading.files import refuse_faults, tensor_entries
from zelo.local.loading.score_head import EMBEDDINGS, PROJECTION, SCORE, vocabulary_tensors

__all__ = [
    "PIECE",
    "PREFIX",
    "TORCH",
    "ChangedTensor",
    "StoredTensor",
    "backbone_tensors",
    "stored_tensors",
]

PIECE = 16 * 2**20
"""Bytes of a tensor that are in memory at once; a multiple of every number's size."""
TORCH = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}
"""Number types by what safetensors calls them."""
PREFIX = "model."
"""Of the backbone's tensors, as Qwen3ForCausalLM names them; a bare Qwen3Model leaves it out."""
NOT_BACKBONE = (PROJECTION, SCORE)
"""Tensors that a folder may hold and the backbone has no place for."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor of the backbone and where its bytes lie."""

    name: str
    """As Qwen3ForCausalLM names it, such as model.layers.0.mlp.up_proj.weight."""
    path: Path
    kind: str
    """Number type as safetensors writes it: BF16, F32 or F16."""
    shape: tuple[int, ...]
    start: int
    """Where its bytes begin in the file."""
    size: int
    """Bytes."""

    def tensor(self, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Read it, in the type that it is stored in or in another.

        Unless it is converted, the file is mapped into memory, and what is written into it stays
        in this process. Its pages leave memory with it, which a mapping of the whole file would
        keep.

        Raises:
            ModelFileError: the type is none of `TORCH`, or the file has become shorter.
        """
        if self.kind not in TORCH:
            message = f"{self.name} of {self.path} holds {self.kind}, and not {', '.join(TORCH)}"
            raise ModelFileError(message)
        before = self.start % mmap.ALLOCATIONGRANULARITY
        try:
            with self.path.open("rb") as file:
                mapped = mmap.mmap(
                    file.fileno(),
                    before + self.size,
                    offset=self.start - before,
                    access=mmap.ACCESS_COPY,
                )
        except ValueError as error:
            raise ModelFileError(_shorter(self.path)) from error
        numbers = torch.frombuffer(mapped, dtype=TORCH[self.kind], offset=before)
        return _converted(numbers.reshape(self.shape), dtype)

    def pieces(self) -> Iterator[bytes]:
        """Read its bytes piece by piece, without mapping the file into memory.

        Raises:
            ModelFileError: the file has become shorter since it was opened.
        """
        with self.path.open("rb") as file:
            file.seek(self.start)
            left = self.size
            while left:
                piece = file.read(min(PIECE, left))
                if len(piece) < min(PIECE, left):
                    raise ModelFileError(_shorter(self.path))
                left -= len(piece)
                yield piece

    def numbers(self) -> Iterator[torch.Tensor]:
        """Read its numbers piece by piece, (n,) each, in the type that they are stored in.

        Raises:
            ModelFileError: as `pieces` does.
        """
        for piece in self.pieces():
            yield torch.frombuffer(bytearray(piece), dtype=TORCH[self.kind])


@dataclass(frozen=True, slots=True)
class ChangedTensor(StoredTensor):
    """A tensor whose numbers are made of those on disk when they are read; float32."""

    stored: StoredTensor
    change: Callable[[torch.Tensor], torch.Tensor]

    @classmethod
    def of(
        cls, stored: StoredTensor, change: Callable[[torch.Tensor], torch.Tensor]
    ) -> "ChangedTensor":
        """Return what `change` makes of a tensor in float32."""
        size = torch.Size(stored.shape).numel() * torch.float32.itemsize
        where = stored.path, "F32", stored.shape, stored.start
        return cls(stored.name, *where, size, stored, change)

    def tensor(self, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Compute it; nothing of it is kept."""
        return _converted(self.change(self.stored.tensor(torch.float32)), dtype)

    def pieces(self) -> Iterator[bytes]:
        """Compute it, and yield its bytes piece by piece."""
        numbers = self.tensor().reshape(-1).view(torch.uint8).numpy()
        for start in range(0, self.size, PIECE):
            yield numbers[start : start + PIECE].tobytes()


def _converted(tensor: torch.Tensor, dtype: torch.dtype | None) -> torch.Tensor:
    if dtype in (None, tensor.dtype):
        return tensor
    # not from the heap, in which freed tensors leave holes that the next ones do not fit into
    room = mmap.mmap(-1, tensor.numel() * dtype.itemsize, access=mmap.ACCESS_COPY)
    return torch.frombuffer(room, dtype=dtype).reshape(tensor.shape).copy_(tensor)


def stored_tensors(path: Path) -> list[StoredTensor]:
    """Return the tensors of a safetensors file, by their place in it.

    Raises:
        ModelFileError: the file is missing or not whole.
    """
    found = [StoredTensor(name, path, *entry) for name, entry in tensor_entries(path).items()]
    for tensor in found:
        kind = TORCH.get(tensor.kind)
        if kind and torch.Size(tensor.shape).numel() * kind.itemsize != tensor.size:
            message = f"{path} gives {tensor.name} {tensor.size} bytes; fetch the file again"
            raise ModelFileError(message)
    return sorted(found, key=lambda tensor: tensor.start)


def backbone_tensors(files: CheckpointFiles, backbone: torch.nn.Module) -> dict[str, StoredTensor]:
    """Return a folder's tensors for a Qwen3Model, by name, file by file in the order of bytes.

    Args:
        files: the folder.
        backbone: what they have to fill; its weights need no memory behind them.

    Raises:
        ModelFileError: a tensor is missing, has another shape than config.json says, belongs to
            another architecture or holds numbers of a type that is not read.
        UnsupportedModelError: the folder's adapter cannot be merged here.
        MissingExtraError: it can, but peft is not installed.
    """
    stored = [
        tensor
        for path in sorted(set(files.tensor_files.values()))
        for tensor in stored_tensors(path)
        if files.tensor_files[tensor.name] == path  # shards may repeat one another
    ]
    embedding = vocabulary_tensors(files)[0]  # which a tied folder may call lm_head.weight
    found = [
        replace(tensor, name=_whole_name(tensor.name, embedding))
        for tensor in stored
        if tensor.name == embedding or tensor.name not in NOT_BACKBONE
    ]
    wanted = {PREFIX + name: tuple(tensor.shape) for name, tensor in backbone.state_dict().items()}
    _check(files, wanted, found)
    tensors = {tensor.name: tensor for tensor in found}
    if files.adapter is None:
        return tensors
    from zelo.local.loading.merging import merged

    return merged(files.adapter, tensors, backbone)


def _whole_name(name: str, embedding: str | None) -> str:
    return EMBEDDINGS[0] if name == embedding else PREFIX + name.removeprefix(PREFIX)


def _check(
    files: CheckpointFiles, wanted: dict[str, tuple[int, ...]], found: list[StoredTensor]
) -> None:
    names = [tensor.name for tensor in found]
    faults = {
        "are missing": sorted(set(wanted) - set(names)),
        "have another shape than config.json says": sorted(
            f"{tensor.name} with {tensor.shape} for {wanted[tensor.name]}"
            for tensor in found
            if tensor.shape != wanted.get(tensor.name, tensor.shape)
        ),
        "belong to another architecture": sorted(set(names) - set(wanted)),
        f"are there twice, with and without {PREFIX} before their names": sorted(
            {name for name in names if names.count(name) > 1}
        ),
        f"hold numbers of another type than {', '.join(TORCH)}": sorted(
            f"{tensor.name} with {tensor.kind}" for tensor in found if tensor.kind not in TORCH
        ),
    }
    refuse_faults(files.folder, faults)


def _shorter(path: Path) -> str:
    return f"{path} became shorter while it was read"
