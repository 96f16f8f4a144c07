"""What others read in the same folder, so that zelo's own reading is not its only judge.

A folder in the sentence-transformers form is read by sentence-transformers where that is
installed: prompts, template, lengths, head and weights are then those that it takes from the
folder. Any other is read by transformers' own classes, with the folder's tokenizer and the
family's prompt. Both write prompts as strings, in which control tokens of a text become control:
ask for ordinary texts only.
"""

import contextlib
import gc
import json
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, Qwen3ForCausalLM, Qwen3ForSequenceClassification

from zelo.doctor.pairs import Pair
from zelo.errors import ModelError, UnsupportedModelError
from zelo.local.loading.checkpoint import Checkpoint
from zelo.local.loading.files import tensor_entries
from zelo.local.loading.score_head import score_divisor
from zelo.local.out_of_memory import free_cached, without_tensors
from zelo.local.quiet import quiet

__all__ = ["Testimony", "free_memory", "testify"]

LOADING = {"dtype": torch.float32, "use_safetensors": True}
SAFE = {"local_files_only": True, "trust_remote_code": False}
OF_SENTENCE_TRANSFORMERS = ("modules.json", "sentence_bert_config.json")
"""Files without which a folder is none that sentence-transformers saved, or not all of one."""
INSTALL = "install sentence-transformers 5.6 or newer, which reads the folder's settings too"


@dataclass(frozen=True, slots=True)
class Testimony:
    """Raw logits by another program."""

    witness: str
    """The program with its version."""
    logits: tuple[float, ...]
    """In the family's own unit, one per pair."""
    remark: str = ""
    """What of the folder the program did not look at, and why."""


def testify(checkpoint: Checkpoint, pairs: Sequence[Pair], device: torch.device) -> Testimony:
    """Let another program score pairs with the folder as it is, in float32.

    The whole model is in memory until this returns.

    Raises:
        ModelError: there is no room for it, or none could read the folder.
    """
    folder = checkpoint.files.own_folder
    _check_room(checkpoint, device)
    remark = ""
    try:
        if all((folder / name).is_file() for name in OF_SENTENCE_TRANSFORMERS):
            try:
                found = _by_sentence_transformers(checkpoint, pairs, device)
                return Testimony(_named("sentence-transformers"), found)
            except ImportError:
                remark = INSTALL
            except Exception as error:  # whatever a folder makes of foreign code
                without_tensors(error)
                remark = f"sentence-transformers could not read the folder: {_told(error)}"
        found = _by_transformers(checkpoint, pairs, device)
        return Testimony(_named("transformers"), found, remark)
    except Exception as error:  # the same
        message = f"transformers could not read {folder}: {_told(error)}"
        raise ModelError(message) from without_tensors(error)
    finally:
        gc.collect()  # models hold themselves by cycles
        free_cached(device)


def _check_room(checkpoint: Checkpoint, device: torch.device) -> None:
    """Refuse to fill this machine's memory, for which the process would be killed."""
    numbers = sum(
        math.prod(entry.shape)
        for path in set(checkpoint.files.tensor_files.values())
        for entry in tensor_entries(path).values()
    )
    needed, free = numbers * 4 * 1.1 / 1e9, free_memory() / 1e9
    if device.type == "cpu" and needed > free:
        message = (
            f"another program needs {needed:.1f} GB of memory for the model in float32, and "
            f"{free:.1f} GB are free"
        )
        raise ModelError(message)


def free_memory() -> float:
    """Return how many bytes of memory can be had, as Linux tells it; elsewhere, no bound."""
    found = [math.inf]
    with contextlib.suppress(OSError, ValueError, IndexError):
        told = Path("/proc/meminfo").read_text(encoding="ascii").partition("MemAvailable:")[2]
        found.append(int(told.split()[0]) * 1024)
    with contextlib.suppress(OSError, ValueError):  # "max" where a container has no limit
        found.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return min(found)


def _by_sentence_transformers(
    checkpoint: Checkpoint, pairs: Sequence[Pair], device: torch.device
) -> tuple[float, ...]:
    folder = checkpoint.files.own_folder
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    if not all(str(module["type"]).startswith("sentence_transformers.") for module in modules):
        # those before 6.0 trust a local folder with any code
        raise UnsupportedModelError("modules.json names code that is not its own")
    # older ones have no such module, and would give the model a random head in its place
    import_module("sentence_transformers.cross_encoder.modules")
    from sentence_transformers import CrossEncoder

    with _unheard():
        model = CrossEncoder(
            str(folder),
            device=str(device),
            activation_fn=torch.nn.Identity(),
            model_kwargs=dict(LOADING),  # which it may change
            **SAFE,
        )
        found = model.predict(
            [[pair.query, pair.document] for pair in pairs],
            batch_size=1,  # a long one would make all others of its batch as long
            show_progress_bar=False,
        )
    divisor = _divisor(checkpoint)
    return tuple(float(number) * divisor for number in found)


@torch.inference_mode()
def _by_transformers(
    checkpoint: Checkpoint, pairs: Sequence[Pair], device: torch.device
) -> tuple[float, ...]:
    files = checkpoint.files
    kind: Any = Qwen3ForSequenceClassification if checkpoint.converted else Qwen3ForCausalLM
    reading: Any = AutoTokenizer
    with _unheard():
        tokenizer = reading.from_pretrained(files.path("tokenizer.json").parent, **SAFE)
        # of an adapter's folder, transformers loads the model that it changes, and both with peft
        model = kind.from_pretrained(files.own_folder, **LOADING, local_files_only=True)
    model = model.to(device).eval()
    found = []
    for pair in pairs:
        text = _prompt(checkpoint, tokenizer, pair)
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        if checkpoint.converted:
            found.append(float(model(ids.to(device)).logits[0, 0]) * _divisor(checkpoint))
        else:
            last = model(ids.to(device), logits_to_keep=1).logits[0, -1]
            found.append(_answered(checkpoint, tokenizer, last))
    return tuple(found)


def _prompt(checkpoint: Checkpoint, tokenizer: Any, pair: Pair) -> str:
    """Write a prompt by the folder's template where that is a reranker's, else by the family."""
    files = checkpoint.files
    if files.path("modules.json").is_file() and tokenizer.chat_template:
        roles = {"query": pair.query, "document": pair.document}
        messages = [{"role": role, "content": text} for role, text in roles.items()]
        text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        return str(text)
    prompt = checkpoint.family.prompt
    for usual, own in files.control_names.items():
        prompt = prompt.replace(usual, own)
    return prompt.format(**checkpoint.family.fields(pair.query, None), document=pair.document)


def _answered(checkpoint: Checkpoint, tokenizer: Any, logits: torch.Tensor) -> float:
    positive, negative = checkpoint.family.positive, checkpoint.family.negative
    numbers = [
        float(logits[tokenizer(answer.text, add_special_tokens=False)["input_ids"][0]])
        for answer in (positive, negative)
        if answer is not None
    ]
    return numbers[0] - sum(numbers[1:])


def _divisor(checkpoint: Checkpoint) -> float:
    """Return how many times the folder's own output the family's raw logit is."""
    if not checkpoint.converted:
        return 1.0
    encoder = checkpoint.encoder
    return score_divisor(checkpoint, encoder.positive_id, encoder.negative_id)


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Keep off the terminal what libraries say to each other, deprecations among them."""
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _named(package: str) -> str:
    return f"{package} {version(package)}"


def _told(error: Exception) -> str:
    """Return an error in one line."""
    line = " ".join(str(error).split())
    return f"{type(error).__name__}: {line[:300]}"
