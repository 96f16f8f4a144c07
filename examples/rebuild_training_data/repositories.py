"""Files of a commit, read from a git repository whatever is checked out there.

Nothing is fetched, and nothing that a repository holds is run or written.
"""

import csv
import io
import shlex
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

__all__ = ["Files", "SourceError", "has_commit", "how_to_fetch", "lines", "read", "table"]

Files = Mapping[str, bytes]
"""By path."""


class SourceError(Exception):
    """A source is missing, or not what it should be; says what to do."""


def how_to_fetch(repository: str, commit: str, folder: Path) -> str:
    """Return the command that gets one commit of a repository on GitHub, and nothing else of it."""
    quoted = shlex.quote(str(folder))
    url = f"https://github.com/{repository}"
    return f"git init -q {quoted} && git -C {quoted} fetch -q --depth 1 {url} {commit}"


def has_commit(folder: Path, commit: str) -> bool:
    """Return whether a folder is a repository that holds a commit."""
    return folder.is_dir() and not _git(folder, "cat-file", "-e", f"{commit}^{{commit}}").returncode


def read(folder: Path, commit: str, paths: Sequence[str]) -> dict[str, bytes]:
    """Return the files of a commit that match paths or patterns.

    Raises:
        SourceError: a path matches nothing, or a file is not there, as in a partial clone.
    """
    done = _git(folder, "archive", "--format=tar", commit, "--", *paths)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        message = f"{folder}: git cannot read {', '.join(paths)} of commit {commit}: {said}"
        raise SourceError(message)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        found = ((member.name, archive.extractfile(member)) for member in archive)
        return {name: file.read() for name, file in found if file is not None}


def lines(content: bytes) -> list[str]:
    """Cut text at line feeds alone."""
    return content.decode().rstrip("\n").split("\n")


def table(content: bytes, delimiter: str = ",") -> Iterator[dict[str, str]]:
    """Yield a table's rows by the names in its first one."""
    return csv.DictReader(io.StringIO(content.decode(), newline=""), delimiter=delimiter)


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    # Settings of this machine must not turn line ends.
    command = ["git", "-C", str(folder), "-c", "core.autocrlf=false", "-c", "core.eol=lf"]
    try:
        return subprocess.run(  # noqa: S603, of arguments that we name
            [*command, *arguments], capture_output=True, check=False
        )
    except OSError as error:
        raise SourceError(f"git cannot be run ({error}); install it") from error
