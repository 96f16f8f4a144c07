"""Every example runs as a script, as a reader would run it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

DEPLOYMENTS = {"ray_serve.py"}  # no scripts; test_ray_serve deploys it
EXAMPLES = sorted(
    path
    for path in (Path(__file__).parents[1] / "examples").glob("*.py")
    if path.name not in DEPLOYMENTS
)
EXPECTED = {
    "async_service.py": r"base64\.decodebytes \(\+[1-9].*40 requests .* in [1-3]?\d forward",
    "evaluate_retriever.py": r"python +16 +[\d,]+( +0\.\d{4}▲?){4}",
    "langchain_qa.py": r"1\. \S+ +(textwrap\.\S+) +\S+ +\+[1-9].*Answer from this: \1\(",
    "langgraph_agent.py": r"1\. \S+ +(tempfile\.Temp\w+) +\S+ +\+[1-9].*\n\n\1\(.*: Create",
    "llama_index_qa.py": r"1\. \S+ +(base64\.decodebytes) +\S+ +\+[1-9].*-- \1\(",
    "many_callers.py": r"40 calls were answered in [1-3]?\d forward",
    "rank.py": r"answer from passage 2: json\.load",
}
"""What each prints. Where it shows both orders: that the best passage has moved up, and what is
made of it. Where calls are merged: fewer forward passes than calls."""


def test_every_example_is_known() -> None:
    """No example goes untested."""
    assert [path.name for path in EXAMPLES] == sorted(EXPECTED)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_runs(path: Path) -> None:
    """The script ends well, without a warning, and prints what it promises."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(EXPECTED[path.name], done.stdout, re.DOTALL), done.stdout
