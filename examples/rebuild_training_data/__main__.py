"""Rebuild zelo-nano's data: the collections it learns from and is measured on, in BEIR layout.

    python examples/rebuild_training_data                      # what to fetch, and how
    python examples/rebuild_training_data --sources SOURCES --out DATA [NAME ...]
    python -m zelo.training.nano --data DATA --embedding-model all-MiniLM-L6-v2/ --out OUT

Each collection comes from one commit of a public repository. What is written has a known digest:
it is what zelo-nano was trained on to the byte, but for five documents of tldr-en and five of
cosqa, in whose copy the web addresses of package indexes had been replaced. Needs git and Python
alone.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from beir_files import Collection, digest, rendered, write
from recipes import RECIPES, Recipe
from repositories import SourceError, has_commit, how_to_fetch, read

ROW = "{:<12} {:>9} {:>8} {:>10}  {}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python examples/rebuild_training_data",
        description=(__doc__ or "").split("\n")[0],
        epilog="Without --out: print the commands that fetch the sources.",
    )
    parser.add_argument("--sources", type=Path, default=Path("sources"), help="of repositories")
    parser.add_argument("--out", type=Path, help="where the collections go, each in its folder")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(RECIPES)}")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in RECIPES]
    if unknown:
        parser.error(f"no collection {', '.join(unknown)}; there are {', '.join(RECIPES)}")
    chosen = {name: RECIPES[name] for name in given.names or RECIPES}
    if given.out is None:
        print("\n".join(commands(chosen, given.sources)))
        return 0
    try:
        rebuild(chosen, given.sources, given.out)
    except SourceError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def commands(recipes: Mapping[str, Recipe], sources: Path) -> list[str]:
    """Return the commands that fetch what these need."""
    return [
        how_to_fetch(recipe.repository, recipe.commit, _folder(recipe, sources))
        for recipe in recipes.values()
    ]


def rebuild(recipes: Mapping[str, Recipe], sources: Path, out: Path) -> None:
    """Write collections, and print a table of them.

    Raises:
        SourceError: a repository or its commit is missing, before anything is written; or a
            collection does not come out as it should, which then is not written.
    """
    missing = {
        name: recipe
        for name, recipe in recipes.items()
        if not has_commit(_folder(recipe, sources), recipe.commit)
    }
    if missing:
        lines = "\n".join(commands(missing, sources))
        raise SourceError(
            f"the sources of {', '.join(missing)} are not there. Get them by\n{lines}"
        )
    print(ROW.format("collection", "documents", "queries", "judgements", "source and licence"))
    for name, recipe in recipes.items():
        found = recipe.build(read(_folder(recipe, sources), recipe.commit, recipe.paths))
        files = rendered(found)
        if digest(files) != recipe.digest:
            message = (
                f"{name} does not come out as it should: its digest is {digest(files)}, not "
                f"{recipe.digest}. It was not written. Is there a setting that makes git change "
                "files? Fetch the source anew, without it"
            )
            raise SourceError(message)
        write(files, out / name)
        print(_row(name, recipe, found))


def _folder(recipe: Recipe, sources: Path) -> Path:
    return sources / recipe.repository.split("/")[1]


def _row(name: str, recipe: Recipe, found: Collection) -> str:
    for_what = f"{recipe.use}; {recipe.repository} {recipe.commit[:7]}, {recipe.licence}"
    judgements = sum(map(len, found.qrels.values()))
    counts = (f"{count:,}" for count in (len(found.documents), len(found.queries), judgements))
    return ROW.format(name, *counts, for_what)


if __name__ == "__main__":
    sys.exit(main())
