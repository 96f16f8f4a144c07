"""Rank a few passages for a question, and cut the list by score.

Runs anywhere with the model that ships in the package; for quality, use "zerank-2".
"""

from zelo import Reranker

QUESTION = "how do I read a json file?"
PASSAGES = [
    "json.dump(obj, fp) writes obj as a JSON formatted stream to fp, a file that can be written.",
    "csv.reader(file) returns an object that iterates over the lines of a CSV file.",
    "json.load(fp) reads a JSON document from fp, an open file, and returns a Python object.",
    "os.remove(path) deletes the file path.",
    "",
]


def main() -> None:
    """Print the ranking, then what a cutoff leaves of it."""
    with Reranker("zelo-nano") as reranker:
        for place, result in enumerate(reranker.rank(QUESTION, PASSAGES), start=1):
            text = "(empty: never scored)" if result.empty else result.document
            print(f"{place}. {result.score:.3f}  {text}")
        best = reranker.rank(QUESTION, PASSAGES, top_n=1)
        print(f"\nanswer from passage {best[0].index}: {best[0].document}")


if __name__ == "__main__":
    main()
