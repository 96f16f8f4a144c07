"""Keys of a run's judges: named in the configuration, held by the environment alone."""

from pathlib import Path
from typing import Any

import pytest
from judging_kit import comparing, files_in

from zelo import InputError
from zelo.training.pipeline import Config, read_config
from zelo.training.pipeline.judges import ask, check_judges

KEY = "sk-of-the-mini-judge"


def read(folder: Path, judge: str, keys: str) -> Config:
    """Read a configuration with one judge, and a table of keys."""
    path = folder / "run.toml"
    path.write_text(
        f'collections = ["mine"]\nmodel = "zelo-nano"\njudges = ["{judge}"]\n[judge]\n{keys}\n'
    )
    return read_config(path)


def test_the_key_reaches_the_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, openai: Any
) -> None:
    """From the environment, and the configuration that is kept holds its variable alone."""
    monkeypatch.setenv("MINI_KEY", KEY)
    openai.chat, openai.key = comparing, KEY
    files = files_in(tmp_path)
    config = read(tmp_path, f"mini=chat:any@{openai.url}", 'keys = { mini = "MINI_KEY" }')
    check_judges(config)
    assert not openai.asked
    found = ask(
        config,
        config.judges,
        lambda _: lambda done, total: None,
        pairs=files.pairs,
        candidates=files.candidates,
        out=tmp_path / "out.jsonl",
        votes=tmp_path / "votes.sqlite",
    )
    assert found["judges"][0]["votes"] == len(openai.asked) == 30
    assert config.plain()["judge"]["keys"] == {"mini": "MINI_KEY"}
    assert not any(KEY.encode() in path.read_bytes() for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("judge", "keys", "problem"),
    [
        ("mini=chat:any@http://127.0.0.1:1", 'keys = { mini = "UNSET_KEY" }', "'mini' is not set"),
        ("oracle", 'keys = { oracle = "UNSET_KEY" }', "no judge that is on a server"),
        ("chat:gpt-4.1-mini", "", "set OPENAI_API_KEY"),
    ],
)
def test_a_missing_key_is_told_before_the_run_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judge: str, keys: str, problem: str
) -> None:
    """What was paid for before would else wait for it."""
    for name in ("UNSET_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match=problem):
        check_judges(read(tmp_path, judge, keys))


def test_a_key_in_the_file_is_refused_and_not_repeated(tmp_path: Path) -> None:
    """It would be kept with the configuration."""
    with pytest.raises(InputError, match=r"judge\.keys\.mini: ") as caught:
        read(tmp_path, "mini=chat:any@http://127.0.0.1:1", f'keys = {{ mini = "{KEY}" }}')
    assert KEY not in str(caught.value)
