"""The packed forward pass against the plain one, prompt by prompt, on the same weights."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Qwen3Config, Qwen3Model

from zelo.local import attention
from zelo.local.model import ScoringModel
from zelo.local.packing import Part, build_pack

VOCABULARY = 97
CPU = torch.device("cpu")
TOKENS = st.integers(0, VOCABULARY - 1)
PARTS = st.lists(
    st.builds(
        Part,
        st.lists(TOKENS, max_size=12),
        st.lists(st.lists(TOKENS, min_size=1, max_size=40), min_size=1, max_size=6),
    ),
    min_size=1,
    max_size=4,
)


def qwen(implementation, dtype=torch.float64):
    """A random Qwen3 in double precision, the same weights at every call."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=8_192,
        attn_implementation=implementation,
    )
    model = Qwen3Model(config).to(dtype).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8)
    return model


ROW = torch.linspace(-1, 1, 32)


@pytest.fixture(scope="module")
def packed():
    return ScoringModel(qwen(attention.NAME), ROW)


@pytest.fixture(scope="module")
def plain():
    model = qwen("eager")

    def logit(ids):
        with torch.inference_mode():
            hidden = model(torch.tensor([ids]), use_cache=False).last_hidden_state[0, -1]
        return float(hidden.float() @ ROW)

    return logit


@settings(max_examples=60)
@given(parts=PARTS)
def test_packed_equals_one_at_a_time(packed, plain, parts):
    """Prompts packed together get the logits that the stock model gives each alone."""
    expected = [plain(prefix + suffix) for prefix, suffixes in parts for suffix in suffixes]
    assert packed.logits(build_pack(parts, CPU)) == pytest.approx(expected, abs=1e-5)


@settings(max_examples=30)
@given(parts=PARTS, changed=TOKENS)
def test_neighbours_do_not_move_a_score(packed, parts, changed):
    """Changing every token of the last prompt leaves the others' logits as they were."""
    before = packed.logits(build_pack(parts, CPU))[:-1]
    prefix, suffixes = parts[-1]
    other = Part(prefix, [*suffixes[:-1], [changed] * 40])
    after = packed.logits(build_pack([*parts[:-1], other], CPU))[:-1]
    assert after == pytest.approx(before, abs=1e-6)


def test_blocks_equal_whole_attention(plain, packed, monkeypatch):
    """A sequence longer than an attention block is scored as if there were no blocks."""
    parts = [Part(list(range(50)), [list(range(VOCABULARY)) * 3, [5] * 130])]
    whole = packed.logits(build_pack(parts, CPU))
    monkeypatch.setattr(attention, "BLOCK", 32)
    assert packed.logits(build_pack(parts, CPU)) == pytest.approx(whole, abs=1e-6)
    assert whole == pytest.approx([plain(parts[0].prefix + s) for s in parts[0].suffixes], abs=1e-5)


def test_layout():
    """Positions restart behind the prefix, and last rows point at each prompt's last token."""
    pack = build_pack([Part([7, 8], [[1], [2, 3]]), Part([], [[4, 5, 6]])], CPU)
    assert pack.ids.tolist() == [7, 8, 1, 2, 3, 4, 5, 6]
    assert pack.positions.tolist() == [0, 1, 2, 2, 3, 0, 1, 2]
    assert pack.last_rows.tolist() == [2, 4, 7]


def test_bfloat16_stays_within_noise(plain):
    """In bfloat16 the packed logits differ from float64 by rounding only."""
    model = ScoringModel(qwen(attention.NAME, torch.bfloat16), ROW)
    parts = [Part([1, 2, 3], [[i, i + 1, i + 2] * 5 for i in range(20)])]
    expected = [plain([1, 2, 3, *suffix]) for suffix in parts[0].suffixes]
    spread = max(expected) - min(expected)
    assert model.logits(build_pack(parts, CPU)) == pytest.approx(expected, abs=spread / 10)
