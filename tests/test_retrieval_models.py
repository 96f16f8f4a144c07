"""Encoders: models of sentence-transformers' own making in this process, and one on a server.

The models are tiny and random, made here; what their vectors should be is asked of the library.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from collection import COLLECTION
from fake_openai import FakeOpenAI, vector
from loopback_hub import serve
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import (
    Pooling,
    StaticEmbedding,
    Transformer,
)
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from zelo.errors import (
    InputError,
    MissingExtraError,
    ModelFileError,
    RemoteError,
    ScoringError,
    UnknownModelError,
    UnsupportedModelError,
)
from zelo.llm import Embeddings
from zelo.retrieval import Cache, DenseStage, EndpointEncoder, LocalEncoder
from zelo.retrieval import local_encoder as module_under_test

WORDS = ["[PAD]", "[UNK]", "find", "tell", ":", "river", "stone", "fox", "moss"]
TEXTS = ["river stone", "fox", "moss moss river"]
PROMPTS = {"query": "find : ", "document": "tell : "}


def tokenizer() -> Tokenizer:
    """Return one that knows nine words."""
    made = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, "[UNK]"))
    made.pre_tokenizer = Whitespace()
    return made


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose vector of a text is the mean of its words' vectors, with prompts."""
    torch.manual_seed(0)
    model = SentenceTransformer(
        modules=[StaticEmbedding(tokenizer(), embedding_dim=6)], device="cpu", prompts=PROMPTS
    )
    folder = tmp_path_factory.mktemp("static") / "model"
    model.save(str(folder), create_model_card=False)
    return folder


@pytest.fixture(scope="module")
def transformer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformer of one layer with mean pooling, its weights stored in bfloat16."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=16,
    )
    inner = tmp_path_factory.mktemp("inner")
    BertModel(config).bfloat16().save_pretrained(inner)
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]"}
    read = PreTrainedTokenizerFast(tokenizer_object=tokenizer(), model_max_length=16, **special)
    read.save_pretrained(inner)
    parts = [Transformer(str(inner)), Pooling(8)]
    folder = tmp_path_factory.mktemp("transformer") / "model"
    SentenceTransformer(modules=parts, device="cpu").save(str(folder), create_model_card=False)
    return folder


def test_vectors_are_those_of_the_library(static: Path) -> None:
    """Queries and documents each with the model's own prompt for them, as float32."""
    encoder, library = LocalEncoder(static, device="cpu"), SentenceTransformer(str(static))
    queries, documents = encoder.embed_queries(TEXTS), encoder.embed_documents(TEXTS)
    assert queries.dtype == documents.dtype == np.float32
    assert np.array_equal(queries, library.encode_query(TEXTS))
    assert np.array_equal(documents, library.encode_document(TEXTS))
    assert np.array_equal(queries, library.encode(["find : " + text for text in TEXTS]))
    assert not np.allclose(queries, documents)


def test_weights_are_computed_with_in_float32(transformer: Path) -> None:
    """Also those that are stored in bfloat16, so that vectors are the same on every device."""
    found = LocalEncoder(transformer, device="cpu", batch_size=1).embed_documents(TEXTS)
    wide = SentenceTransformer(str(transformer), device="cpu").float()
    assert found.dtype == np.float32
    assert np.allclose(found, wide.encode(TEXTS), atol=1e-6)
    assert not np.array_equal(found, torch.from_numpy(found).bfloat16().float().numpy())


def test_a_model_is_known_by_its_files(static: Path, transformer: Path, tmp_path: Path) -> None:
    """A copy elsewhere is the same model; one with other weights or another prompt is not."""
    first = LocalEncoder(static).identity
    copy = Path(shutil.copytree(static, tmp_path / "copy"))
    assert LocalEncoder(copy, device="cpu", batch_size=3).identity == first
    settings = copy / "config_sentence_transformers.json"
    settings.write_text(settings.read_text().replace("find : ", "seek : "))
    second = LocalEncoder(copy).identity
    (copy / "chat_template.jinja").write_text("{{ messages }}")
    assert len({str(one) for one in (first, second, LocalEncoder(copy).identity)}) == 3
    weights = next(copy.rglob("*.safetensors"))
    (tmp_path / "again").mkdir()
    again = Path(shutil.copytree(static, tmp_path / "again" / "copy"))
    content = bytearray((again / weights.relative_to(copy)).read_bytes())
    content[-1] ^= 1
    (again / weights.relative_to(copy)).write_bytes(content)
    assert LocalEncoder(again).identity != first
    assert str(tmp_path) not in str(LocalEncoder(again).identity)


def test_kept_vectors_need_no_model(static: Path, tmp_path: Path) -> None:
    """A second run with everything in the cache does not load the weights."""
    folder = Path(shutil.copytree(static, tmp_path / "copy"))
    runs = []
    for _ in range(2):
        encoder = LocalEncoder(folder, device="cpu")
        stage = DenseStage(encoder, cache=Cache(tmp_path / "cache"))
        runs.append(stage.retrieve(COLLECTION, list(COLLECTION.queries), 5))
        loaded = "_model" in vars(encoder)
    assert runs[0] == runs[1]
    assert not loaded


def install(folder: Path, models: dict[str, Path]) -> None:
    """Install a package `tiny-model` that holds models and must never be imported."""
    package, info = folder / "tiny_model", folder / "tiny_model-1.0.dist-info"
    package.mkdir()
    info.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('the package was imported')\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
    for name, model in models.items():
        shutil.copytree(model, package / name)
    files = [path.relative_to(folder) for path in package.rglob("*") if path.is_file()]
    (info / "RECORD").write_text("".join(f"{path.as_posix()},,\n" for path in files))


def test_an_installed_package_is_a_model(
    static: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the package's name; the folder inside is found without importing the package."""
    install(tmp_path, {"model": static})
    monkeypatch.syspath_prepend(tmp_path)
    assert LocalEncoder("tiny-model").identity == LocalEncoder(static).identity


def test_a_package_must_hold_one_model(
    static: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two, the error names both folders; one without a model is no model."""
    install(tmp_path, {"one": static, "two": static})
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnknownModelError, match=r"holds 2 models; .*tiny_model/(one|two), "):
        LocalEncoder("tiny-model")
    with pytest.raises(UnknownModelError, match="'pytest' is no folder, no installed package"):
        LocalEncoder("pytest")


@pytest.mark.parametrize("name", ["no-such-model", "", "./no/such", "a/b/c", "/no/such", "../up"])
def test_a_name_of_nothing_is_unknown(name: str) -> None:
    """It is told at once, without asking the hub."""
    with pytest.raises(UnknownModelError, match="is no folder"):
        LocalEncoder(name)


FETCH = """
import json, sys
from zelo.retrieval.model_folder import find_folder

found = {}
for name in sys.argv[1:]:
    try:
        folder = find_folder(name)
        files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
        found[name] = sorted(path.as_posix() for path in files)
    except Exception as error:
        found[name] = [type(error).__name__, str(error)]
print(json.dumps(found))
"""


def test_a_hub_repository_is_a_model(static: Path, tmp_path: Path) -> None:
    """What loading reads is fetched, and neither pickles nor code; errors say what is wrong."""
    files = {
        path.relative_to(static).as_posix(): path.read_bytes()
        for path in static.rglob("*")
        if path.is_file()
    }
    unread = {"pytorch_model.bin": b"pickle", "code.py": b"raise RuntimeError", "README.md": b"#"}
    with serve() as hub:
        hub.add("someone/tiny", files | unread)
        hub.refused["someone/broken"] = (500, "")
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path),
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
        }
        names = ["someone/tiny", "someone/unheard", "someone/broken"]
        command = [sys.executable, "-c", FETCH, *names]
        done = subprocess.run(command, env=environment, capture_output=True, check=True)
    tiny, unheard, broken = (json.loads(done.stdout)[name] for name in names)
    assert set(tiny) == set(files) - unread.keys()
    assert unheard[0] == "UnknownModelError"
    assert "no such repository" in unheard[1]
    assert broken[0] == "ModelFileError"
    assert "fetching someone/broken broke off" in broken[1]


def spoil_module(folder: Path) -> None:
    """Let a module be a class of the folder's own."""
    (folder / "evil.py").write_text("raise RuntimeError('code of a model ran')\n")
    path = folder / "modules.json"
    kind = "sentence_transformers.sentence_transformer.modules.static_embedding.StaticEmbedding"
    assert kind in path.read_text()
    path.write_text(path.read_text().replace(kind, "evil.Module"))


def spoil_router(folder: Path) -> None:
    """Let a router's part be a class of the folder's own."""
    (folder / "router").mkdir()
    config = '{"types": {"query_0_Evil": "evil.Module"}, "structure": {}, "parameters": {}}'
    (folder / "router" / "router_config.json").write_text(config)


def spoil_weights(folder: Path) -> None:
    """Store the weights as a pickle alone."""
    (weights,) = folder.rglob("*.safetensors")
    weights.rename(weights.with_name("pytorch_model.bin"))


def add_adapter(folder: Path) -> None:
    """Leave the settings of an adapter beside the weights."""
    (weights,) = folder.rglob("*.safetensors")
    weights.with_name("adapter_config.json").write_text('{"peft_type": "LORA"}')


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (add_adapter, "remove adapter_config.json"),
        (spoil_module, "wants the class evil.Module"),
        (spoil_router, "wants the class evil.Module"),
        (spoil_weights, "weights as a pickle"),
    ],
)
def test_a_model_that_could_run_code_or_means_two_is_refused(
    static: Path, tmp_path: Path, spoil: Callable[[Path], None], complaint: str
) -> None:
    """Before anything of it is loaded."""
    folder = Path(shutil.copytree(static, tmp_path / "model"))
    spoil(folder)
    with pytest.raises(UnsupportedModelError, match=complaint):
        LocalEncoder(folder)


def test_pickles_beside_safetensors_are_let_lie(static: Path, tmp_path: Path) -> None:
    """Many repositories hold both, and exports for other backends; they are not read."""
    folder = Path(shutil.copytree(static, tmp_path / "model"))
    (weights,) = folder.rglob("*.safetensors")
    weights.with_name("pytorch_model.bin").write_bytes(b"not read")
    (folder / "openvino").mkdir()
    (folder / "openvino" / "openvino_model.bin").write_bytes(b"not read")
    assert LocalEncoder(folder, device="cpu").embed_queries(TEXTS).shape == (3, 6)


@pytest.mark.parametrize("content", [None, "{", "{}", "[1]", '[{"path": ""}]', "7"])
def test_a_folder_that_is_no_model_is_refused(tmp_path: Path, content: str | None) -> None:
    """The list of modules is missing or cannot be read; the error names it."""
    if content is not None:
        (tmp_path / "modules.json").write_text(content)
    with pytest.raises(ModelFileError, match=r"modules\.json"):
        LocalEncoder(tmp_path)


def test_a_torn_model_is_told_when_it_is_loaded(static: Path, tmp_path: Path) -> None:
    """Whatever the library raises becomes an error that names the folder."""
    folder = Path(shutil.copytree(static, tmp_path / "model"))
    (weights,) = folder.rglob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:40])
    with pytest.raises(ModelFileError, match="model cannot be loaded by sentence-transformers"):
        LocalEncoder(folder, device="cpu").embed_queries(TEXTS)


def test_a_failing_model_is_told_without_the_text(transformer: Path) -> None:
    """An error inside a forward pass becomes ours; texts are not repeated."""
    encoder = LocalEncoder(transformer, device="cpu")
    encoder._model[0].max_seq_length = 10**6  # so that nothing is cut
    with pytest.raises(ScoringError, match="could not embed 1 texts") as caught:
        encoder.embed_queries(["river " * 40])
    assert "river" not in str(caught.value)


def test_options_that_make_no_sense_are_refused(static: Path) -> None:
    """A batch of nothing at once, a device that is not there when the model is loaded."""
    with pytest.raises(InputError, match="batch_size=0"):
        LocalEncoder(static, batch_size=0)
    with pytest.raises(InputError, match="device='abacus'"):
        LocalEncoder(static, device="abacus").embed_queries(TEXTS)


def test_without_the_library_the_install_command_is_told(
    static: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the encoder is made, not after the first collection was read."""
    monkeypatch.setattr(module_under_test.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install"):
        LocalEncoder(static)


def test_an_endpoint_embeds(tmp_path: Path) -> None:
    """Its vectors come through as the server made them, and are asked for once."""
    with FakeOpenAI().running() as server:
        embeddings = Embeddings("tiny", server.url)
        encoder = EndpointEncoder(embeddings)
        assert encoder.embed_queries(TEXTS).tolist() == [vector(text) for text in TEXTS]
        assert encoder.embed_documents(TEXTS).tolist() == [vector(text) for text in TEXTS]
        stage = DenseStage(encoder, cache=Cache(tmp_path))
        run = stage.retrieve(COLLECTION, ["q-dance"], 3)
        asked = len(server.bodies)
        assert stage.retrieve(COLLECTION, ["q-dance"], 3) == run
        assert len(server.bodies) == asked
        embeddings.close()


def test_texts_are_cut_only_when_that_is_asked_for() -> None:
    """What was cut is other content, so it has another identity."""
    with FakeOpenAI().running() as server:
        embeddings = Embeddings("tiny", server.url)
        whole, cut = EndpointEncoder(embeddings), EndpointEncoder(embeddings, max_characters=4)
        assert whole.embed_documents(["river stone"]).tolist() == [vector("river stone")]
        assert cut.embed_documents(["river stone"]).tolist() == [vector("rive")]
        assert whole.identity != cut.identity
        embeddings.close()
    with pytest.raises(InputError, match="max_characters=0"):
        EndpointEncoder(embeddings, max_characters=0)


def test_an_endpoints_refusal_is_no_vector(tmp_path: Path) -> None:
    """A text that the server finds too long is told by its error, and nothing is kept."""
    with FakeOpenAI().running() as server:
        server.fail(400)
        embeddings = Embeddings("tiny", server.url)
        stage = DenseStage(EndpointEncoder(embeddings), cache=Cache(tmp_path))
        with pytest.raises(RemoteError):
            stage.retrieve(COLLECTION, ["q-dance"], 3)
        embeddings.close()
    assert not list(tmp_path.rglob("*.npy"))
