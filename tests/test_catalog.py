"""Names of models: what each leads to, what wins when several fit, and what is suggested."""

from pathlib import Path

import pytest

from zelo import InputError, Reranker, UnknownModelError
from zelo.scoring.catalog import ALIASES, resolve
from zelo.scoring.families import FAMILIES

COMMITS = {
    "zerank-1": "d03c467e29e29c0a16a130a86ce3b62d30116a2c",
    "zerank-1-small": "a65fd51c450e9b47fdddab98e31166ecad21af8d",
    "zerank-2": "5eae30d5ee3c6b2df2ef6d723bde45172d761c4c",
}
"""The commits that cohere-ai/rcp-ndcg checked live."""

OTHER = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize("alias", sorted(COMMITS))
@pytest.mark.parametrize("form", ["{}", "zeroentropy/{}-reranker", "zeroentropy/{}"])
def test_zerank_names_lead_to_the_pinned_commit(alias: str, form: str) -> None:
    """Alias, hub name and the old hub name all mean the repository at its pinned commit."""
    source = resolve(form.format(alias))
    assert source.repo_id == f"zeroentropy/{alias}-reranker"
    assert source.revision == COMMITS[alias]
    assert Reranker(form.format(alias)).commit == COMMITS[alias]
    assert source.family == {"zerank-2": "zerank-2"}.get(alias, "zerank-1")
    assert source.folder is None


@pytest.mark.parametrize("size", ["0.6B", "4B", "8B"])
@pytest.mark.parametrize("lower", [True, False])
def test_qwen3_reranker_names(size: str, lower: bool) -> None:
    """The Qwen3-Reranker models are known by alias and by hub id, with their family."""
    hub_id = f"Qwen/Qwen3-Reranker-{size}"
    source = resolve(hub_id.partition("/")[2].lower() if lower else hub_id)
    assert (source.repo_id, source.family) == (hub_id, "qwen3-reranker")


def test_packaged_model_is_a_folder_of_the_package() -> None:
    """zelo-nano lies inside the installed package and needs no hub."""
    import zelo

    source = resolve("zelo-nano")
    assert source.repo_id is None
    assert source.folder == Path(zelo.__file__).parent / "models" / "zelo-nano"
    assert source.family == "zelo"


def test_every_alias_names_a_known_family() -> None:
    """No alias leads to a family that the table lacks."""
    assert {source.family for source in ALIASES.values()} <= set(FAMILIES)
    assert sorted(ALIASES) == [
        "qwen3-reranker-0.6b",
        "qwen3-reranker-4b",
        "qwen3-reranker-8b",
        "zelo-nano",
        "zerank-1",
        "zerank-1-small",
        "zerank-2",
    ]


@pytest.mark.parametrize(
    "name", ["zerank-2", "zeroentropy/zerank-2-reranker", "zeroentropy/zerank-2"]
)
def test_revision_replaces_the_pinned_one(name: str) -> None:
    """revision= wins over the pinned commit and keeps the family."""
    source = resolve(name, OTHER)
    assert (source.repo_id, source.revision) == ("zeroentropy/zerank-2-reranker", OTHER)
    assert source.family == "zerank-2"


def test_unknown_hub_id_is_taken_as_it_is() -> None:
    """A hub id that is not in the table has no pin and no family of its own."""
    source = resolve("somebody/my-reranker.v2", "v1.0")
    assert (source.repo_id, source.revision) == ("somebody/my-reranker.v2", "v1.0")
    assert source.family is None
    assert resolve("somebody/my-reranker.v2").revision is None


def test_alias_wins_over_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that happens to be called zerank-2 does not replace the model of that name."""
    (tmp_path / "zerank-2").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve("zerank-2").repo_id == "zeroentropy/zerank-2-reranker"
    assert resolve("./zerank-2").folder == (tmp_path / "zerank-2").resolve()


@pytest.mark.parametrize("name", ["zeroentropy/zerank-2", "Qwen/Qwen3-Reranker-4B", "a/b"])
def test_folder_wins_over_a_hub_id(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An existing folder is meant before a hub id of the same form, and has no pinned commit."""
    (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    source = resolve(name)
    assert source.folder == (tmp_path / name).resolve()
    assert (source.repo_id, source.revision, source.family) == (None, None, None)


def test_folder_is_bound_when_the_reranker_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative folder stays the same one when the process goes elsewhere before loading."""
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    source = resolve("model")
    monkeypatch.chdir("/")
    assert source.folder == (tmp_path / "model").resolve()


def test_home_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tilde means the home directory, as in a shell."""
    (tmp_path / "model").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve("~/model").folder == (tmp_path / "model").resolve()


def test_revision_with_a_folder_is_refused(tmp_path: Path) -> None:
    """A folder has no revisions, so revision= is a mistake that is told at once."""
    with pytest.raises(InputError, match=r"revision= names a commit on the hub.*local folder"):
        Reranker(tmp_path, revision=OTHER)


def test_revision_with_the_packaged_model_is_refused() -> None:
    """The model inside the package has no revisions either."""
    with pytest.raises(InputError, match=r"'zelo-nano' is a local folder"):
        Reranker("zelo-nano", revision="main")


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("zerank2", "zerank-2"),
        ("zerank_2", "zerank-2"),
        ("Zerank-2", "zerank-2"),
        ("ZERANK-1-SMALL", "zerank-1-small"),
        ("zelo-nan", "zelo-nano"),
        ("qwen3-reranker-4", "qwen3-reranker-4b"),
        ("zerank-2-nano", "zerank-2"),
    ],
)
def test_misspelt_alias_is_answered_with_a_suggestion(name: str, suggestion: str) -> None:
    """A near miss is an error that names the alias that was probably meant."""
    with pytest.raises(UnknownModelError, match=f"did you mean '{suggestion}'") as caught:
        Reranker(name)
    assert repr(name) in str(caught.value)


def test_zerank_2_small_is_unknown() -> None:
    """zerank-2-small was named by the vendor but never published: it is no alias."""
    with pytest.raises(UnknownModelError, match="unknown model 'zerank-2-small'") as caught:
        Reranker("zerank-2-small")
    assert "zerank-1-small" in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "nothing at all", "/no/such/folder", "./zerank-2", "a/b/c", "a/b/", "../x"),
        *("a//b", "a/b\n", "~nobody-of-this-name/x", "\0", "x" * 5000, "a/" + "b" * 5000),
        *("a/b..c", "a/b--c", "a/b.git", "-a/b", "a/b-", "é/ü"),
    ],
)
def test_other_names_are_unknown(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is no alias, folder or hub id lists the aliases and shows a hub id."""
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")  # where nothing has any of these names
    with pytest.raises(UnknownModelError, match=r"zerank-1-small, zerank-2\)") as caught:
        Reranker(name)
    assert "zeroentropy/zerank-2-reranker" in str(caught.value)
    assert not str(caught.value).endswith(("; ", ";"))


@pytest.mark.parametrize("name", ["config.json", "folder/model.safetensors"])
def test_file_is_told_from_an_unknown_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An existing file is answered with the folder to give, not looked up on the hub."""
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownModelError, match=r"is a file; give the folder that holds config"):
        Reranker(name)


def test_file_of_another_engine_is_answered_with_its_server(tmp_path: Path) -> None:
    """A GGUF file as the model says what serves it, and how that is scored on."""
    (tmp_path / "model.gguf").touch()
    with pytest.raises(UnknownModelError, match=r"model\.gguf is a file for llama.cpp.*base_url="):
        Reranker(tmp_path / "model.gguf")


def test_repr_says_what_will_be_loaded() -> None:
    """Before it is loaded a reranker names repository and commit."""
    shown = repr(Reranker("zeroentropy/zerank-2"))
    assert shown == f"Reranker(zeroentropy/zerank-2-reranker @ {COMMITS['zerank-2']} (not loaded))"
