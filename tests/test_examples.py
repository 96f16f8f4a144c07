"""Every example runs as a script, as a reader would run it."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
EXPECTED = {
    "rank.py": "answer from passage 2: json.load",
    "many_callers.py": "40 calls were answered in",
}


def test_every_example_is_known():
    """No example goes untested."""
    assert [path.name for path in EXAMPLES] == sorted(EXPECTED)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_runs(path):
    """The script ends well and prints what it promises."""
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert EXPECTED[path.name] in done.stdout
