"""zelo's reading of a folder beside another program's: the doctor and exports go by the other.

sentence-transformers and transformers read the same folder as it is, whatever zelo makes of it.
"""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mistakes
import pytest
import tiny
import torch
from huggingface_hub.constants import HF_HUB_CACHE
from sentence_transformers import CrossEncoder
from served import application

from zelo.doctor import Examination, Report, examine, witness
from zelo.errors import UnsupportedModelError, ZeloError
from zelo.export import export
from zelo.local.loading import score_head as head


def examined(model: Path | str, **more: Any) -> Report:
    """Examine a model in this process."""
    options: dict[str, Any] = {"device": "cpu", "longest": 0, **more}
    return examine(Examination(model=str(model), **options))


def outcome(report: Report) -> tuple[str, str]:
    """Return what came of the comparison of the folder, and how it is told."""
    (check,) = [check for check in report.checks if check.name == "folder"]
    return check.outcome, check.text


def found(report: Report) -> list[str]:
    return [finding.mistake for finding in report.findings]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.save_sentence_transformers(tmp_path / "model")


@pytest.fixture
def misread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let zelo read another score row than the folder's."""
    row = head._row
    monkeypatch.setattr(head, "_row", lambda *of: row(*of) * 1.2)


def _adapted(folder: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import Qwen3ForCausalLM

    torch.manual_seed(3)
    model = Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config = LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False)
    get_peft_model(model, config).save_pretrained(str(folder))


def _twice(folder: Path) -> None:
    tiny.shard(folder)
    changed = {name: tensor * 1.1 for name, tensor in tiny.weights().items()}
    tiny.save_tensors(folder / "model.safetensors", changed)


def _odd_template(folder: Path) -> None:
    odd = tiny.ZERANK_TEMPLATE.replace("'<|im_end|>\n'", "' <|im_end|>\n'")
    (folder / "chat_template.jinja").write_text(odd, encoding="utf-8")


DEVIATIONS: dict[str, Callable[[Path], object]] = {
    "a default prompt": lambda folder: tiny.edit_json(
        folder / "config_sentence_transformers.json",
        prompts={"bridges": "Prefer bridges"},
        default_prompt_name="bridges",
    ),
    "a template of its own": _odd_template,
    "a short length": lambda folder: tiny.edit_json(
        folder / "tokenizer_config.json", model_max_length=64
    ),
    "an adapter": _adapted,
    "two sets of weights": _twice,
    "another projection": lambda folder: tiny.save_tensors(
        folder / "model.safetensors", tiny.weights(tied=False)
    ),
}


@pytest.mark.filterwarnings("ignore::FutureWarning:transformers")  # peft asks by an old name
@pytest.mark.parametrize("deviation", DEVIATIONS)
def test_no_folder_is_correct_on_which_the_cross_encoder_disagrees(
    deviation: str, folder: Path
) -> None:
    """What zelo scores otherwise than CrossEncoder is wrong or refused, and never exported."""
    DEVIATIONS[deviation](folder)
    report = examined(folder)
    if report.verdict == "correct":
        official = CrossEncoder(str(folder), device="cpu", local_files_only=True)
        raw = official.predict(
            [[row.query, row.document] for row in report.rows],
            activation_fn=torch.nn.Identity(),
            show_progress_bar=False,
        )
        assert [row.got for row in report.rows] == pytest.approx(raw, abs=1e-2)
    else:
        assert report.error or found(report) == ["read-otherwise"]
        with pytest.raises(ZeloError):
            export(folder, folder.parent / "out", "vllm")
        assert not (folder.parent / "out").exists()


def test_the_witness_is_named_with_how_far_it_is_off(folder: Path, misread: None) -> None:
    """A folder that zelo reads otherwise is wrong, whatever zelo itself computes from it."""
    report = examined(folder)
    assert (report.verdict, found(report)) == ("wrong", ["read-otherwise"])
    assert "sentence-transformers" in (report.reference or "")
    evidence = report.findings[0].evidence
    assert "sentence-transformers" in evidence
    assert "logits on average" in evidence
    assert outcome(report)[0] == "wrong"
    official = CrossEncoder(str(folder), device="cpu", activation_fn=torch.nn.Identity())
    raw = official.predict([[row.query, row.document] for row in report.rows])
    assert [row.expected for row in report.rows] == pytest.approx(raw, abs=1e-4)


def test_a_sound_folder_says_with_what_it_was_compared(tiny_forms: dict[str, Path]) -> None:
    """sentence-transformers where the folder is its own, transformers' own classes elsewhere."""
    for form, family, program in (
        ("zerank-2", None, "sentence-transformers"),
        ("converted-5", None, "transformers"),
        ("converted-yes-no", None, "transformers"),
        ("causal", "qwen3-reranker", "transformers"),
    ):
        report = examined(tiny_forms[form], family=family)
        assert report.verdict == "correct", form
        told, text = outcome(report)
        assert told == "ok"
        assert text.startswith(f"read as {program} ")


def test_a_model_of_the_hub_is_compared_too(tiny_model: Path) -> None:
    """The commit that is scored with is what the witness reads, though nothing is published."""
    cached = Path(HF_HUB_CACHE) / "models--zelo-tests--witness"
    shutil.copytree(tiny_model, cached / "snapshots" / ("a" * 40))
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("a" * 40, encoding="utf-8")
    report = examined("zelo-tests/witness", family="zerank-2")
    assert (report.verdict, outcome(report)[0]) == ("correct", "ok"), report.error


@pytest.mark.parametrize("reading", ["right", "ours"])
def test_a_server_is_compared_with_the_witness(reading: str, folder: Path, misread: None) -> None:
    """A server that reads a folder rightly is correct, though zelo misreads it; ours is wrong."""
    right = mistakes.scorings(mistakes.Model(folder))["right"]
    more: dict[str, Any] = {"reference": folder, "family": "zerank-2"}
    if reading == "right":
        with mistakes.serving(right, "vllm") as url:
            report = examined("tiny", base_url=url, **more)
        assert (report.verdict, outcome(report)[0]) == ("correct", "warning")
    else:
        with mistakes.running(application(folder)) as url:
            report = examined("tiny", base_url=url, **more)
        assert found(report) == ["read-otherwise"]


def test_a_long_document_is_compared_too(folder: Path) -> None:
    """A length that cuts only long documents is a deviation as well, or refused."""
    tiny.edit_json(folder / "tokenizer_config.json", model_max_length=200)
    report = examined(folder, longest=400)
    assert report.verdict != "correct" or found(report) == []
    if report.verdict == "wrong":
        assert found(report) == ["long-documents"]
        assert "sentence-transformers" in report.findings[0].evidence


def test_without_sentence_transformers_transformers_reads_the_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the folder's template; the report says what was not looked at, and what to install."""
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    monkeypatch.setitem(sys.modules, "sentence_transformers.cross_encoder.modules", None)
    told, text = outcome(examined(folder))
    assert told == "ok"
    assert text.startswith("read as transformers ")
    assert "install sentence-transformers" in text
    _odd_template(folder)
    report = examined(folder)
    assert report.error or found(report) == ["read-otherwise"]


def test_where_nobody_could_read_it_the_report_says_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without room for the whole model in float32, zelo's own reading is named as such."""
    monkeypatch.setattr(witness, "free_memory", lambda: 0.0)
    report = examined(folder)
    told, text = outcome(report)
    assert told == "unknown"
    assert "zelo's own reading only" in text
    assert "GB are free" in text
    made = export(folder, tmp_path / "out", "vllm")
    (unproven,) = [one for one in made.unproven if one.claim.startswith("other programs")]
    assert "GB are free" in unproven.how


def test_an_export_is_what_the_witness_reads(folder: Path, tmp_path: Path) -> None:
    """It is said in the export's record, weights that are rounded for it notwithstanding."""
    for dtype in ("float32", "bfloat16"):
        made = export(folder, tmp_path / dtype, "vllm", dtype=dtype)
        shown = [one for one in made.statements if "reads the same" in one.claim]
        assert [one.proven for one in shown] == [True]
        assert shown[0].claim.startswith("sentence-transformers")


def test_a_misread_folder_is_not_exported(folder: Path, tmp_path: Path, misread: None) -> None:
    """The witness and the distance are named, and nothing is left behind."""
    with pytest.raises(UnsupportedModelError, match=r"sentence-transformers .*logits"):
        export(folder, tmp_path / "out", "baseten")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_witness_runs_no_code_of_the_folder(folder: Path) -> None:
    """Modules of the folder's own are not even shown to sentence-transformers."""
    (folder / "modeling_own.py").write_text(tiny.TRIPWIRE, encoding="utf-8")
    path = folder / "modules.json"
    modules = json.loads(path.read_text(encoding="utf-8"))
    modules[1]["type"] = "modeling_own.LogitScore"
    tiny.write_json(path, modules)
    tiny.edit_json(folder / "config.json", auto_map={"AutoConfig": "modeling_own.Config"})
    told, text = outcome(examined(folder))
    assert told == "ok"
    assert "sentence-transformers could not read the folder" in text
    assert not (folder / "REMOTE_CODE_RAN").exists()
