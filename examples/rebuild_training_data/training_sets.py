"""The collections that zelo-nano learns from, each from the files of its repository.

Sentences and commands that stand in a source several times are one document.
"""

import re
from pathlib import PurePosixPath
from xml.etree import ElementTree

from beir_files import Collection
from repositories import Files, lines, table

__all__ = ["clapnq", "medquad", "nl2bash", "nqg", "tldr"]


def nqg(files: Files) -> Collection:
    """Question -> sentence. Sentences are numbered through, those of development first."""
    numbers: dict[str, str] = {}
    for part in ("dev", "test"):
        for sentence in lines(files[f"data/processed/src-{part}.txt"]):
            numbers.setdefault(sentence.strip(), f"s{len(numbers)}")
    sentences = [line.strip() for line in lines(files["data/processed/src-test.txt"])]
    questions = lines(files["data/processed/tgt-test.txt"])
    documents = {
        numbers[sentence]: ("", sentence.replace("-lrb-", "(").replace("-rrb-", ")"))
        for sentence in sentences
    }
    queries = {f"test{number}": text.strip() for number, text in enumerate(questions)}
    pairs = zip(queries, (numbers[sentence] for sentence in sentences), strict=True)
    return Collection(documents, queries, {"test": list(pairs)})


def clapnq(files: Files) -> Collection:
    """Question -> annotated answer."""
    rows = list(table(files["retrieval/train/question_train_answerable.tsv"], delimiter="\t"))
    return Collection(
        {f"t{row['id']}": ("", row["answers"].strip()) for row in rows},
        {f"qt{row['id']}": row["question"] for row in rows},
        {"train": [(f"qt{row['id']}", f"t{row['id']}") for row in rows]},
    )


def tldr(files: Files) -> Collection:
    """Description -> command, without the marks of options' letters and of placeholders."""
    first: dict[str, str] = {}  # by command
    queries, pairs = {}, []
    for path in sorted(files):
        page = PurePosixPath(path)
        if page.name.startswith("."):
            continue
        examples = re.findall(r"^- (.*?):?\n+`(.*)`$", files[path].decode(), re.MULTILINE)
        for number, (description, command) in enumerate(examples):
            query_id = f"{page.parent.name}/{page.stem}#{number}"
            queries[query_id] = re.sub(r"\[(\w)\]", r"\1", description)
            command = command.replace("{{", "").replace("}}", "")
            pairs.append((query_id, first.setdefault(command, query_id)))
    documents = {doc_id: ("", command) for command, doc_id in first.items()}
    return Collection(documents, queries, {"train": pairs})


def nl2bash(files: Files) -> Collection:
    """Description -> command. The commands are text: some are destructive."""
    descriptions, commands = (
        [line.strip() for line in lines(files[f"data/bash/all.{end}"])] for end in ("nl", "cm")
    )
    numbers: dict[str, str] = {}
    for command in commands:
        numbers.setdefault(command, f"c{len(numbers)}")
    queries = {f"q{number}": text for number, text in enumerate(descriptions)}
    pairs = zip(queries, (numbers[command] for command in commands), strict=True)
    documents = {doc_id: ("", command) for command, doc_id in numbers.items()}
    return Collection(documents, queries, {"train": list(pairs)})


def medquad(files: Files) -> Collection:
    """Question -> answer, where there is one. Of those with the same id the last one counts."""
    documents, queries = {}, {}
    for path in sorted(files, key=lambda path: (int(path.split("_")[0]), path)):
        root = ElementTree.fromstring(files[path])  # noqa: S314, of a commit that we name
        for pair in root.iter("QAPair"):
            answer = " ".join(pair.findtext("Answer", "").split())
            question = pair.find("Question")
            if answer and question is not None:
                doc_id = f"{root.get('source')}:{question.get('qid')}"
                documents[doc_id] = (root.findtext("Focus", ""), answer)
                queries[f"q:{doc_id}"] = " ".join((question.text or "").split())
    return Collection(documents, queries, {"train": list(zip(queries, documents, strict=True))})
