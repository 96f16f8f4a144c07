"""`zelo rerank`: candidates from a file or a pipe in, a ranking out."""

import io
import sys
from pathlib import Path
from typing import Annotated, cast

import typer

from zelo.cli.documents import Fields, Format, Reading, read
from zelo.cli.options import (
    DEFAULT_MODEL,
    MODEL,
    OUTPUT,
    AsJson,
    Compile,
    Device,
    DocumentLimit,
    Dtype,
    Family,
    Head,
    Instruction,
    LocalFilesOnly,
    LongDocuments,
    LongDocumentsRead,
    Model,
    Quantization,
    Scale,
    as_usage_error,
    sound_text,
)
from zelo.cli.progress import scoring
from zelo.cli.ranking import table, write_json
from zelo.cli.render import note, out
from zelo.corpora.rows import unpacked
from zelo.errors import InputError

__all__ = ["rerank"]

EPILOG = """
**Examples**

zelo rerank "how do I read a json file" --documents passages.txt

zelo rerank "late fees" -d tickets.csv --text-field body --id-field ticket --top-n 5

grep -h timeout *.log | zelo rerank "database unreachable" -d - --top-n 10

zelo rerank "late fees" -d tickets.jsonl -m zerank-2 --json | jq -r .id
"""
STDIN = "standard input"
LARGEST_PIECE = 1 << 20  # bytes
INPUT = "Candidates"  # heading in --help


def _existing(path: Path) -> Path:
    """Refuse a file that is not there; typer's own check knows no dash."""
    if str(path) != "-" and not path.exists():
        raise typer.BadParameter(f"{path} does not exist")
    if path.is_dir():
        raise typer.BadParameter(f"{path} is a folder")
    return path


def rerank(
    query: Annotated[
        str, typer.Argument(help="What the documents should answer.", callback=sound_text)
    ],
    documents: Annotated[
        Path,
        typer.Option(
            "--documents",
            "-d",
            metavar="FILE",
            callback=_existing,
            help="The candidates: .jsonl (an object per line), .json (an array), .txt (a document "
            "per line) or .csv (with a header), in UTF-8, or those packed as .gz; - is standard "
            "input.",
            rich_help_panel=INPUT,
        ),
    ],
    form: Annotated[
        Format | None,
        typer.Option(
            "--format",
            help="Default: by the file's suffix, before .gz if it is packed. Standard input is "
            "read as jsonl if it begins with a brace or is a JSON array, otherwise as txt.",
            rich_help_panel=INPUT,
        ),
    ] = None,
    text_field: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Field with the document. Default: text, content, contents, document, "
            "page_content, passage or body.",
            rich_help_panel=INPUT,
        ),
    ] = None,
    id_field: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Field with its id. Default: _id, id, doc_id or docid, if any.",
            rich_help_panel=INPUT,
        ),
    ] = None,
    title_field: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Field to be put on a line before the document.",
            rich_help_panel=INPUT,
        ),
    ] = None,
    skip_bad_lines: Annotated[
        bool,
        typer.Option(
            "--skip-bad-lines",
            help="Rank the others if lines cannot be read. Each bad line is named either way.",
            rich_help_panel=INPUT,
        ),
    ] = False,
    model: Model = DEFAULT_MODEL,
    family: Family = None,
    head: Head = None,
    device: Device = None,
    dtype: Dtype = None,
    quantization: Quantization = None,
    compile: Compile = None,
    instruction: Instruction = None,
    top_n: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Show the N best. Default: all.", rich_help_panel=OUTPUT
        ),
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            min=0,
            max=1,
            help="Show probabilities of P and more.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    scale: Annotated[
        Scale, typer.Option(help="Number in the table; --json has both.", rich_help_panel=OUTPUT)
    ] = Scale.PROBABILITY,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Longest prompt. Default: 32768, or the model's.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    max_document_tokens: DocumentLimit = None,
    long_documents: LongDocumentsRead = LongDocuments.TRUNCATE,
    local_files_only: LocalFilesOnly = False,
    as_json: AsJson = False,
) -> None:
    """Rank documents for a query and show rank, score and text, best first.

    Blank lines of a .txt, .jsonl or .csv are no documents, and their number is told. A record
    whose text is empty is one: it comes last, marked. If lines cannot be read, all of them are
    named, and nothing is scored unless --skip-bad-lines is given.
    """
    from zelo.reranker import Reranker
    from zelo.scoring.catalog import resolve

    with as_usage_error():
        reranker = Reranker(
            model,
            family=family,
            head=head,
            device=device,
            dtype=dtype,
            quantization=quantization,
            compile=compile,
            local_files_only=local_files_only,
            max_tokens=max_tokens,
            max_document_tokens=max_document_tokens,
            long_documents=long_documents.value,
        )
    fields = Fields(text_field, id_field, title_field)
    reading = _candidates(documents, form, fields, skip_bad_lines)
    if model == DEFAULT_MODEL:
        note("using zelo-nano, a small model for trying out; for quality, --model zerank-2")
    loading = model if resolve(model).repo_id is None else None
    with reranker, scoring(loading) as progress:
        ranking = reranker.rank(
            query,
            [document.text for document in reading.documents],
            top_n=top_n,
            min_score=min_score,
            instruction=instruction,
            progress=progress,
        )
    if not ranking:
        note(f"none of {len(reading.documents)} documents scores {min_score} or more")
    elif as_json:
        write_json(ranking, reading.documents)
    else:
        out().print(table(ranking, reading.documents, scale))


def _candidates(path: Path, form: Format | None, fields: Fields, skip_bad_lines: bool) -> Reading:
    """Read the candidates, telling on stderr whatever of the input is not among them."""
    from_stdin = str(path) == "-"
    name = STDIN if from_stdin else str(path)
    with as_usage_error():
        form = form or (None if from_stdin else Format.of_name(name))
    packed = _piped() if from_stdin else _content(path)
    with unpacked(io.BytesIO(packed), name) as file:
        content = file.read()
    if form is None:
        form = Format.of_content(content)
        note(f"reading {STDIN} as {form}; --format says otherwise")
    reading = read(content, name, form, fields)
    if reading.bad:
        count = f"{len(reading.bad)} line{'s' if len(reading.bad) > 1 else ''}"
        if not skip_bad_lines:
            message = (
                f"{name}: {count} cannot be read, so nothing was scored; mend them, or go on "
                f"without them: --skip-bad-lines\n{reading.complaint()}"
            )
            raise InputError(message)
        note(f"warning: {name}: {count} skipped\n{reading.complaint()}")
    if reading.blank:
        blanks = len(reading.blank)
        note(f"{name}: skipped {blanks} blank line{'s' if blanks > 1 else ''}")
    if not reading.documents:
        raise InputError(f"{name}: there is no document in it")
    return reading


def _piped() -> bytes:
    """Read standard input piece by piece: one long read would notice Ctrl-C only at its end."""
    stream = cast(io.BufferedReader, sys.stdin.buffer)
    return b"".join(iter(lambda: stream.read1(LARGEST_PIECE), b""))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"{path}: it cannot be read: {error.strerror}"
        raise InputError(message) from error
