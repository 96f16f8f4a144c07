"""What a model folder holds, told from its own marks and never guessed.

Three forms are known: the sentence-transformers form (modules.json with LogitScore), a plain
Qwen3ForCausalLM, and a converted Qwen3ForSequenceClassification, also as sentence-transformers or
`zelo export` writes one (modules.json with a Transformer alone). Reads JSON and the headers of
safetensors files; runs no code from the folder and loads no layer.
"""

import json
import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from zelo.errors import InputError, ModelFileError, UnsupportedModelError
from zelo.local.loading.cross_encoder import CrossEncoderPrompt
from zelo.local.loading.files import (
    EXPORT_RECORD,
    UNREADABLE,
    missing,
    read_json,
    read_text,
    tensor_entries,
)
from zelo.local.loading.lora import Adapter, check_base, read_adapter
from zelo.local.prompt import PromptEncoder, text_tokenizer
from zelo.scoring.families import FAMILIES, Family, family_named
from zelo.scoring.options import Head

__all__ = [
    "CONTROL_NAMES",
    "PAIRWISE",
    "SCORE_ROW",
    "Checkpoint",
    "CheckpointFiles",
    "inspect_checkpoint",
    "read_checkpoint_files",
    "recognise",
]

PAIRWISE = "ZeloPairwise"
"""The architecture that zelo names in the folder of a pairwise model, which is no reranker."""
CONTROL_NAMES = "zelo_control_tokens"
"""The key of config.json under which `zelo export` says what it calls control tokens in this
folder's tokenizer, by their usual names: {"<|im_start|>": ...}. Empty where nothing is renamed."""
SCORE_ROW = "zelo_score_row"
"""The key of config.json under which `zelo export` says what the family's row was divided by to
make `score.weight`, with a digest of that; see `zelo.local.loading.score_head`."""
CLASSIFIER = "Qwen3ForSequenceClassification"

EMBEDDING = "embed_tokens.weight"
WRAPPERS = {
    "module": "model.module, which DistributedDataParallel wraps,",
    "_orig_mod": "model._orig_mod, which torch.compile wraps,",
    "base_model.model": "what peft's model.merge_and_unload() returns",
}
"""How to come to the model again, by the prefix that its wrapper gives to the tensors' names."""

SUPPORTED = (
    "zelo scores zerank-1, zerank-1-small, zerank-2, zelo-nano and Qwen3-Reranker, saved in the "
    "sentence-transformers form, as Qwen3ForCausalLM or as Qwen3ForSequenceClassification"
)


@dataclass(frozen=True)
class CheckpointFiles:
    """A folder whose files are all there and whole; what they mean is not yet known."""

    folder: Path
    config: dict[str, Any]
    tensor_files: dict[str, Path]
    """The safetensors file that holds each tensor, by tensor name; none of an adapter's."""
    adapter: Adapter | None = None
    """What changes the layers, where it is what was asked for."""

    @property
    def own_folder(self) -> Path:
        """The folder that was asked for: the adapter's, or else that of the weights."""
        return self.adapter.folder if self.adapter else self.folder

    def path(self, name: str) -> Path:
        """Return a file of the folder that was asked for, or else one beside the weights."""
        own = self.own_folder / name
        return own if own.is_file() else self.folder / name

    @cached_property
    def tokenizer_json(self) -> str:
        """The text of tokenizer.json, in which control tokens have their usual names."""
        text = read_text(self.path("tokenizer.json"))
        names = self.control_names
        if not names:
            return text
        usual = {own: name for name, own in names.items()}
        try:
            description = json.loads(text)
            for token in description["added_tokens"]:
                token["content"] = usual.get(token["content"], token["content"])
        except UNREADABLE as error:
            message = f"{self.path('tokenizer.json')} is no tokenizer; export the model again"
            raise ModelFileError(message) from error
        return json.dumps(description, ensure_ascii=False)

    @property
    def control_names(self) -> dict[str, str]:
        """What control tokens are called in this folder's files, where not by their usual names."""
        names = self.config.get(CONTROL_NAMES) or {}
        if not isinstance(names, dict) or not all(isinstance(one, str) for one in names.values()):
            message = f"{self.folder / 'config.json'} has no sound {CONTROL_NAMES}; export again"
            raise ModelFileError(message)
        return names

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """Token ids by token text, without added tokens."""
        try:
            vocabulary = json.loads(self.tokenizer_json)["model"]["vocab"]
            return {str(token): int(token_id) for token, token_id in vocabulary.items()}
        except UNREADABLE as error:
            message = f"{self.path('tokenizer.json')} holds no vocabulary; fetch the file again"
            raise ModelFileError(message) from error

    def token_id(self, text: str) -> int | None:
        """Return the token that `text` is written with; None where it takes several."""
        return next(iter(self.token_ids(text)), None)

    def token_ids(self, text: str) -> list[int]:
        """Return the tokens that `text` may be: its entry, and what it becomes when it is read.

        They differ where a tokenizer changes its text, as by lower-casing.
        """
        found = [self.vocabulary[text]] if text in self.vocabulary else []
        if self._tokenizer is not None:
            ids = self._tokenizer.encode(text, add_special_tokens=False).ids
            found += ids if len(ids) == 1 else []
        return found

    @cached_property
    def _tokenizer(self) -> Tokenizer | None:
        """What writes texts; None for a file that is no tokenizer, which PromptEncoder refuses."""
        try:
            return text_tokenizer(self.tokenizer_json)
        except Exception:  # tokenizers raises it bare
            return None


@dataclass(frozen=True)
class Checkpoint:
    """A folder that zelo knows how to score with."""

    files: CheckpointFiles
    family: Family
    converted: bool
    """The score row stands in `score.weight`, not in the vocabulary projection."""
    trained: bool = False
    """That row is what somebody trained, not one that answers are read with."""
    answer_ids: tuple[int, int | None] | None = None
    """Tokens of the positive and the negative answer, where the folder names them."""
    prompt: CrossEncoderPrompt | None = field(default=None, repr=False, compare=False)
    """What the folder says of its prompt, where it does."""

    @cached_property
    def encoder(self) -> PromptEncoder:
        """What writes the model's prompts.

        Raises:
            ModelFileError: tokenizer.json is not a tokenizer.
            UnsupportedModelError: it is not the family's, or the folder asks for other prompts.
        """
        encoder = PromptEncoder(self.files.tokenizer_json, self.family, self.answer_ids)
        if self.prompt is not None:
            self.prompt.check(encoder)
        return encoder

    @property
    def max_tokens(self) -> int:
        """Tokens of the longest prompt that the model reads."""
        return int(self.files.config.get("max_position_embeddings", 32_768))

    @property
    def usual_tokens(self) -> int:
        """Tokens of the longest prompt that it is to read if nobody says otherwise."""
        return int(min(self.max_tokens, self.prompt.max_tokens if self.prompt else math.inf))


def inspect_checkpoint(
    folder: Path,
    family: str | None = None,
    head: Head | None = None,
    *,
    cache_dir: Path | None = None,
    local_files_only: bool = False,
) -> Checkpoint:
    """Find out which form and family a folder holds, and how it wants to be asked.

    `family` is needed where folders of different families look alike, and is checked against
    the folder's own marks where they speak. With `head="trained"`, the scale is the classifier's
    own: its output is the logit, and the sigmoid of that the probability. The others are as
    `read_checkpoint_files` takes them.

    Raises:
        ModelFileError: a file is missing, cut short or unreadable.
        UnsupportedModelError: the folder is none of the three forms, its family is not told, or
            it says of its prompt what zelo cannot do.
        InputError: `family` is unknown or contradicts the folder, or so does `head`.
    """
    where: Any = {"cache_dir": cache_dir, "local_files_only": local_files_only}
    found = recognise(folder, family, head, **where)
    modules = found.files.path("modules.json")
    if not modules.is_file():
        return found
    prompt = CrossEncoderPrompt(modules.parent)
    asked = prompt.family(found.family)
    for usual, own in found.files.control_names.items():  # which the template has
        asked = replace(asked, prompt=asked.prompt.replace(own, usual))
    return replace(found, family=asked, prompt=prompt)


def recognise(
    folder: Path,
    family: str | None = None,
    head: Head | None = None,
    *,
    cache_dir: Path | None = None,
    local_files_only: bool = False,
) -> Checkpoint:
    """Find out which form and family a folder holds, whatever it says of its prompt.

    Raises:
        ModelFileError, UnsupportedModelError, InputError: as `inspect_checkpoint`.
    """
    wanted = family_named(family) if family else None
    files = read_checkpoint_files(folder, cache_dir=cache_dir, local_files_only=local_files_only)
    if wanted is None and files.adapter and files.adapter.base.family:
        wanted = family_named(files.adapter.base.family)
    converted = _architecture(files) == CLASSIFIER
    _check_config(files)
    _refuse_prefix(files)
    modules = _modules(files, converted)
    if head == "trained":
        if not converted or len(modules) > 1:
            message = (
                f"head='trained' reads the head of a classifier ({CLASSIFIER}), and {files.folder} "
                "answers with its vocabulary; leave head= out"
            )
            raise InputError(message)
        _check_activation(files)
        found = replace(wanted or _trained_family(files), scale=1.0)
        return Checkpoint(files, found, converted=True, trained=True)
    answer_ids = None
    if len(modules) > 1:
        found, answer_ids = _sentence_transformers_family(files, modules[1], wanted)
    elif converted:
        found = wanted or _converted_family(files)
    else:
        found = wanted or _plain_family(files)
    return Checkpoint(files, found, converted, answer_ids=answer_ids)


def read_checkpoint_files(
    folder: Path, *, cache_dir: Path | None = None, local_files_only: bool = False
) -> CheckpointFiles:
    """Read config.json and the tensor index, and check that every file is there and whole.

    Of a folder that holds an adapter alone, the files are those of the model that it changes.

    Args:
        folder: of a model or an adapter.
        cache_dir: the hub's cache, in which an adapter's model is looked for.
        local_files_only: never ask the hub for that.

    Raises:
        ModelFileError: names the first file that is missing, cut short or unreadable.
        UnsupportedModelError: an adapter lies beside weights, or is none that zelo merges.
        UnknownModelError: there is no such model as an adapter changes.
    """
    _refuse_foreign_export(folder)
    adapter = read_adapter(folder)
    if adapter is None:
        return _whole_files(folder)
    base = adapter.base.folder
    if base is None:
        from zelo.local.loading import hub

        found = adapter.base
        base = hub.fetch(found.repo_id or "", found.revision, cache_dir, local_files_only)
    check_base(adapter, base)
    return _adapted(_whole_files(base), adapter)


def _adapted(base: CheckpointFiles, adapter: Adapter) -> CheckpointFiles:
    """Put an adapter's files over those of its model; its tokenizer must write the same tokens."""
    files = replace(base, adapter=adapter)
    if files.tokenizer_json != base.tokenizer_json and _tokens(files) != _tokens(base):
        message = (
            f"tokenizer.json in {adapter.folder} has other tokens than that of {base.folder}, "
            "whose embedding is used; remove it, or merge the adapter with peft and save both"
        )
        raise UnsupportedModelError(message)
    return files


def _tokens(files: CheckpointFiles) -> dict[str, int]:
    try:
        added = json.loads(files.tokenizer_json).get("added_tokens") or []
        return files.vocabulary | {str(token["content"]): int(token["id"]) for token in added}
    except UNREADABLE as error:
        message = f"{files.path('tokenizer.json')} holds no tokenizer; fetch the file again"
        raise ModelFileError(message) from error


def _whole_files(folder: Path) -> CheckpointFiles:
    config = read_json(folder / "config.json")
    if not (folder / "tokenizer.json").is_file():
        raise ModelFileError(missing(folder / "tokenizer.json"))
    index = folder / "model.safetensors.index.json"
    single = folder / "model.safetensors"
    if single.is_file():  # as in transformers; an index beside it is of what was there before
        names = [single.name]
    elif index.is_file():
        names = _shard_names(index)
    else:
        raise ModelFileError(missing(single))
    tensor_files = {
        tensor: folder / name for name in names for tensor in tensor_entries(folder / name)
    }
    return CheckpointFiles(folder, config, tensor_files)


def _shard_names(index: Path) -> list[str]:
    weight_map = read_json(index).get("weight_map")
    names = list(weight_map.values()) if isinstance(weight_map, dict) else []
    if not names or not all(isinstance(name, str) and Path(name).name == name for name in names):
        message = f"{index} has no weight_map to files beside it; fetch the file again"
        raise ModelFileError(message)
    return sorted(set(names))


def _architecture(files: CheckpointFiles) -> str:
    architectures = files.config.get("architectures") or ["none"]
    model_type = files.config.get("model_type")
    if model_type == "zeroentropy":
        message = (
            f"{files.folder} is the superseded refs/pr/2 form of zerank-2, which needs remote "
            "code; use zeroentropy/zerank-2-reranker at its pinned commit (alias 'zerank-2')"
        )
        raise UnsupportedModelError(message)
    if architectures[0] == PAIRWISE:
        message = (
            f"{files.folder} is a pairwise model, made by zelo train distill: it compares two "
            "documents and scores none by itself. Judge pairs with it, by "
            f"zelo train judge --judge pairwise:{files.folder}, and rank with a reranker"
        )
        raise UnsupportedModelError(message)
    known = ("Qwen3ForCausalLM", CLASSIFIER)
    if model_type != "qwen3" or architectures[0] not in known:
        message = (
            f"{files.folder} holds architecture {architectures[0]!r} of model type "
            f"{model_type!r}. {SUPPORTED}."
        )
        raise UnsupportedModelError(message)
    return str(architectures[0])


_SIZES = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "head_dim"),
    *("num_attention_heads", "num_key_value_heads", "max_position_embeddings"),
)


def _check_config(files: CheckpointFiles) -> None:
    config = files.config
    for name in _SIZES:
        value = config.get(name)
        if value is not None and (type(value) is not int or value < 1):
            message = (
                f"{files.folder / 'config.json'} says {name}={value!r}, which must be a whole "
                "number of at least 1; fetch the file again"
            )
            raise ModelFileError(message)
    layer_types = config.get("layer_types") or []
    if config.get("use_sliding_window") or set(map(str, layer_types)) - {"full_attention"}:
        raise UnsupportedModelError(f"{files.folder} uses sliding-window attention. {SUPPORTED}.")
    if config.get("transformers_weights"):
        message = (
            f"{files.folder / 'config.json'} names a file of its own for the weights "
            f"({config['transformers_weights']!r}); save them as model.safetensors"
        )
        raise UnsupportedModelError(message)
    if config.get("quantization_config") or config.get("quantization"):
        for_mlx = " for MLX" if config.get("quantization") else ""  # the key of mlx_lm's convert
        message = (
            f"{files.folder} holds weights quantised{for_mlx}; give the folder or repository of "
            "the original ones, with quantization='int8-weights' or 'int4-weights' for less memory"
        )
        raise UnsupportedModelError(message)


def _refuse_prefix(files: CheckpointFiles) -> None:
    """Refuse tensors whose names begin with what a wrapper of the model put there."""
    name = next((name for name in files.tensor_files if name.endswith(EMBEDDING)), EMBEDDING)
    parts = name.removesuffix(EMBEDDING).split(".")[:-1]
    prefix = ".".join(parts[:-1] if parts[-1:] == ["model"] else parts)
    if prefix:
        inner = WRAPPERS.get(prefix, "the model inside its wrapper")
        message = (
            f"the names of the tensors in {files.folder} begin with {prefix + '.'!r}, which a "
            f"wrapper puts there, and would not be found; save {inner} with save_pretrained()"
        )
        raise UnsupportedModelError(message)


def _own_mark(files: CheckpointFiles) -> str | None:
    """Return the family that zelo itself wrote into config.json, if any."""
    mark = files.config.get("zelo_family")
    if mark is not None and mark not in FAMILIES:
        message = f"{files.folder} was saved by a newer zelo: family {mark!r} is unknown here"
        raise UnsupportedModelError(message)
    return mark


def _sentence_transformers_family(
    files: CheckpointFiles, module: dict[str, Any], wanted: Family | None
) -> tuple[Family, tuple[int, int | None]]:
    """Read LogitScore's token ids and the family off them, which is to be the one asked for."""
    score = read_json(files.path(f"{module.get('path', '')}/config.json"))
    ids: tuple[Any, Any] = (score.get("true_token_id"), score.get("false_token_id"))
    by_ids = {name: _answer_ids(files, FAMILIES[name]) for name in ("zerank-2", "qwen3-reranker")}
    found = wanted or FAMILIES.get(
        _own_mark(files)
        or next((name for name in by_ids if _is_read(files, FAMILIES[name], ids)), "")
    )
    if found is None:
        message = (
            f"{files.folder} reads its score from token ids {ids}; known are "
            f"{by_ids['zerank-2']} ('Yes', zerank) and {by_ids['qwen3-reranker']} ('yes' minus "
            "'no', Qwen3-Reranker)"
        )
        raise UnsupportedModelError(message)
    if not _is_read(files, found, ids):
        message = (
            f"family={found.name!r} reads token ids {_answer_ids(files, found)}, but "
            f"{files.folder} says {ids}; leave family= out"
        )
        raise InputError(message)
    return found, ids


def _modules(files: CheckpointFiles, converted: bool) -> list[dict[str, Any]]:
    """Return the modules that modules.json lists: none without the file, else one or two.

    Raises:
        UnsupportedModelError: they are others than a reranker has.
    """
    path = files.path("modules.json")
    if not path.is_file():
        return []
    try:
        modules = [dict(module) for module in json.loads(read_text(path))]
    except (ValueError, TypeError, RecursionError) as error:
        raise ModelFileError(f"{path} is not a JSON list of modules; fetch it again") from error
    kinds = [str(module.get("type", "")).rpartition(".")[2] for module in modules]
    # a classifier has its head within the Transformer
    if kinds != ["Transformer", "LogitScore"] and not (converted and kinds == ["Transformer"]):
        raise UnsupportedModelError(f"{path} lists {kinds}. {SUPPORTED}.")
    if modules[0].get("path"):
        message = (
            f"{path} has its Transformer in the folder {modules[0]['path']!r}; zelo reads one "
            "whose files lie beside modules.json"
        )
        raise UnsupportedModelError(message)
    return modules


def _refuse_foreign_export(folder: Path) -> None:
    """Refuse what `zelo export` wrote for an engine that writes prompts in its own way."""
    record = folder / EXPORT_RECORD
    if not record.is_file():
        return
    config = folder / "config.json"
    if config.is_file() and CONTROL_NAMES in read_json(config):
        return
    told = read_json(record)
    message = (
        f"{folder} is an export for {told.get('engine')}, which writes prompts in a way of its "
        f"own; load the model that it was made of, {told.get('model')}"
    )
    raise UnsupportedModelError(message)


def _answer_ids(files: CheckpointFiles, family: Family) -> tuple[int | None, int | None]:
    positive = files.token_id(family.positive.text)
    return positive, files.token_id(family.negative.text) if family.negative else None


def _is_read(files: CheckpointFiles, family: Family, ids: tuple[Any, Any]) -> bool:
    """Whether these are tokens of the family's answers."""
    return all(
        found in files.token_ids(answer.text) if answer else found is None
        for answer, found in zip((family.positive, family.negative), ids, strict=True)
    )


def _plain_family(files: CheckpointFiles) -> Family:
    mark = _own_mark(files)
    remote_code = json.dumps(files.config.get("auto_map", {}))
    if mark or "modeling_zeranker" in remote_code:
        return FAMILIES[mark or "zerank-1"]
    message = (
        f"{files.folder} is a plain Qwen3ForCausalLM. zerank-1, Qwen3-Reranker and Qwen3 itself "
        "all look like this and need different prompts: say which it is with family='zerank-1', "
        "'zerank-2' or 'qwen3-reranker'"
    )
    raise UnsupportedModelError(message)


def _converted_family(files: CheckpointFiles) -> Family:
    from zelo.local.loading.score_head import family_of_score_row

    mark = _own_mark(files)
    return FAMILIES[mark] if mark else family_of_score_row(files)


def _check_activation(files: CheckpointFiles) -> None:
    """Refuse a classifier whose own probability is no sigmoid of its output.

    Identity is none of its own: sentence-transformers then answers with the output itself.
    """
    saved = files.folder / "config_sentence_transformers.json"
    told = read_json(saved).get("activation_fn") if saved.is_file() else None
    if told is None:
        kept = files.config.get("sentence_transformers")
        told = kept.get("activation_fn") if isinstance(kept, dict) else None
    if told is not None and str(told).rpartition(".")[2] not in ("Sigmoid", "Identity"):
        message = (
            f"{files.folder} makes scores of its head's output by {told}; zelo knows the sigmoid"
        )
        raise UnsupportedModelError(message)


def _trained_family(files: CheckpointFiles) -> Family:
    """Return the family that the folder names: a trained row tells none."""
    mark = _own_mark(files)
    if mark is None:
        message = (
            f"{files.folder} does not say which prompt its trained head reads: say so with "
            "family='zerank-2', 'zerank-1' or 'qwen3-reranker'"
        )
        raise UnsupportedModelError(message)
    return FAMILIES[mark]
