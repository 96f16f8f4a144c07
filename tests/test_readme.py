"""The README's code runs, and its tables say what the code says."""

import re
from pathlib import Path

import llama_index.postprocessor.zelo
import pytest
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda
from llama_index.core import MockEmbedding, VectorStoreIndex
from llama_index.core.llms import MockLLM
from llama_index.core.schema import TextNode

import langchain_zelo
from zelo.adapters.foreign import FOREIGN

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
TEXTS = ("The river is cold.", "Stone bridges are old.", "Water runs down to the sea.")


def blocks(word: str) -> list[str]:
    """Return the README's Python blocks that hold a word."""
    return [code for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if word in code]


def run(code: str, model: Path, **names: object) -> dict[str, object]:
    """Run a block with a tiny model in place of zerank-2, and return what it defined."""
    own = f"model={str(model)!r}, "
    code = re.sub(r'model="(zerank-2|mine-run/refined/model)",', own, code)
    code = re.sub(rf"ZeloRerank\((?!\s*{re.escape(own.strip())})", f"ZeloRerank({own}", code)
    space: dict[str, object] = dict(names)
    exec(compile(code, "README.md", "exec"), space)  # noqa: S102 - our own README
    return space


def test_llama_index_code_runs(tiny_model: Path) -> None:
    """The first block, and that with a reranker of one's own, rerank in a real query engine."""
    index = VectorStoreIndex(
        [TextNode(text=text) for text in TEXTS], embed_model=MockEmbedding(embed_dim=2)
    )
    as_query_engine = index.as_query_engine
    index.as_query_engine = lambda **options: as_query_engine(llm=MockLLM(), **options)
    first, own = blocks("llama_index.postprocessor")
    for code in (first, own):
        nodes = run(code, tiny_model, index=index)["engine"].query("water").source_nodes
        assert sorted(node.text for node in nodes) == sorted(TEXTS)
        assert all(0 < node.score < 1 for node in nodes)


def test_langchain_code_runs(tiny_model: Path) -> None:
    """The second block makes a retriever that reranks."""
    (code,) = blocks("from langchain_zelo")
    first = RunnableLambda(lambda query: [Document(text) for text in TEXTS])
    found = run(code, tiny_model, retriever=first)["retriever"].invoke("water")
    assert sorted(document.page_content for document in found) == sorted(TEXTS)


def test_core_code_runs(tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The third block prints the right passage first."""
    (code,) = blocks("from zelo import Reranker")
    run(code, tiny_model)
    first, second = capsys.readouterr().out.splitlines()
    assert "json.load" in first
    assert "csv.reader" in second


def test_option_code_runs(tiny_model: Path) -> None:
    """The block on options uses options and methods that exist, in both frameworks."""
    (code,) = blocks("with_options")
    for adapter in (llama_index.postprocessor.zelo.ZeloRerank, langchain_zelo.ZeloRerank):
        run(code, tiny_model, ZeloRerank=adapter)


def test_migration_table_is_the_programs() -> None:
    """The table of other rerankers' options is the one that error messages are made from."""
    _, _, rest = README.partition("| another reranker's option | here |\n|---|---|\n")
    table, _, _ = rest.partition("\n\n")
    rows = [f"| {', '.join(f'`{name}`' for name in f.names)} | {f.here} |" for f in FOREIGN]
    assert table.splitlines() == rows
