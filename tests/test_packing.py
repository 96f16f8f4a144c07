"""The packed forward pass against the plain one, prompt by prompt, on the same weights."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from packing_kit import CPU, PARTS, ROW, TOKENS, VOCABULARY, part, qwen

from zelo.local import attention
from zelo.local.attention import segments
from zelo.local.model import ScoringModel
from zelo.local.packing import Part, build_pack, choose_way
from zelo.local.transfer import join
from zelo.local.transfer import part as parted


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
    monkeypatch.setattr(segments, "BLOCK", 32)
    assert packed.logits(build_pack(parts, CPU)) == pytest.approx(whole, abs=1e-6)
    assert whole == pytest.approx([plain(parts[0].prefix + s) for s in parts[0].suffixes], abs=1e-5)


def test_layout():
    """Prefixes come first; positions restart behind each, and last rows point at each prompt's
    last token."""
    pack = build_pack([Part([7, 8], [[1], [2, 3]]), Part([], [[4, 5, 6]]), Part([9], [[0]])], CPU)
    assert pack.ids.tolist() == [7, 8, 9, 1, 2, 3, 4, 5, 6, 0]
    assert pack.positions.tolist() == [0, 1, 0, 2, 2, 3, 0, 1, 2, 1]
    assert pack.last_rows.tolist() == [3, 5, 8, 9]
    assert pack.ragged is None


def test_gathered_layout():
    """Every document's key rows are its prefix's and its own; a single prompt asks twice."""
    every, last, last_rows = build_pack([part(2, 3), part(1, 1, 2)], CPU, "gathered").ragged
    rows = [[0, 1], [2], [0, 1, 3, 4, 5], [2, 6], [2, 7, 8]]
    assert every.key_rows.tolist() == [*itertools.chain(*rows)]
    assert every.segments.queries.tolist() == [0, 2, 3, 6, 7, 9]
    assert every.segments.keys.tolist() == [0, 2, 3, 8, 10, 13]
    assert last.key_rows.tolist() == [*itertools.chain(*rows[2:])]
    assert last.segments.queries.tolist() == [0, 1, 2, 3]
    assert last_rows.tolist() == [5, 6, 8]
    alone = build_pack([part(2, 3)], CPU, "gathered").ragged
    assert alone.last_rows.tolist() == [4, 4]
    assert alone.last.key_rows.tolist() == [0, 1, 2, 3, 4] * 2


def test_merged_layout():
    """One call has each row's own tokens, the other all documents of a prefix and the prefix."""
    every, last, last_rows = build_pack([part(2, 3), part(1, 1, 2)], CPU, "merged").ragged
    assert every.own.queries.tolist() == every.own.keys.tolist() == [0, 2, 3, 6, 7, 9]
    assert every.prefix.queries.tolist() == [0, 3, 6]
    assert every.prefix.keys.tolist() == last.prefix.keys.tolist() == [0, 2, 3]
    assert (every.prefix_rows, last.prefix_rows) == (3, 3)
    assert last.own.queries.tolist() == [0, 1, 2, 3]
    assert last.own.keys.tolist() == [0, 3, 4, 6]
    assert last.prefix.queries.tolist() == [0, 1, 3]
    assert last_rows.tolist() == [5, 6, 8]


@pytest.mark.parametrize("parts", [[part(9, 5)], [part(0, 4, 5)], [part(3, 2, 2), part(0, 1)]])
def test_what_shares_no_prefix_is_gathered(parts):
    """A single prompt and one without a prefix have nothing to merge."""
    assert hasattr(build_pack(parts, CPU, "merged").ragged.every, "key_rows")


@pytest.mark.parametrize(("longest", "rounded"), [(1, 128), (128, 128), (129, 256)])
def test_longest_segments_are_rounded_up(longest, rounded):
    """Kernels hear of whole tiles, so that no length has code of its own."""
    bounds = build_pack([part(0, longest, 1)], CPU, "gathered").ragged.every.segments
    assert (bounds.longest_query, bounds.longest_key) == (rounded, rounded)


@pytest.mark.parametrize(
    ("prefix", "documents", "length", "way"),
    [
        *[(40, 100, 400, "gathered"), (512, 100, 256, "gathered"), (513, 100, 256, "merged")],
        *[(2_048, 100, 256, "merged"), (2_048, 4, 64, "gathered"), (2_048, 5, 64, "merged")],
    ],
)
def test_way_follows_what_would_be_copied(prefix, documents, length, way):
    """Merging takes over where more than two prefix rows would be copied for each of a document,
    and more than 8,192 in all."""
    assert choose_way([Part([0] * prefix, [[0] * length] * documents)]) == way


def test_block_gives_back_what_was_joined():
    """Tensors of two number types travel as one block, aligned, and are no views to torch."""
    tensors = [torch.arange(5), torch.arange(3, dtype=torch.int32), torch.arange(7) ** 3]
    block = join(tensors)
    found = parted(block, tensors)
    for tensor, expected in zip(found, tensors, strict=True):
        assert torch.equal(tensor, expected)
        assert tensor.dtype == expected.dtype
        assert tensor.storage_offset() * tensor.itemsize % 16 == 0
        assert tensor._base is None
        assert tensor.untyped_storage().data_ptr() == block.data_ptr()


def test_bfloat16_stays_within_noise(plain):
    """In bfloat16 the packed logits differ from float64 by rounding only."""
    model = ScoringModel(qwen(attention.NAME, torch.bfloat16), ROW)
    parts = [Part([1, 2, 3], [[i, i + 1, i + 2] * 5 for i in range(20)])]
    expected = [plain([1, 2, 3, *suffix]) for suffix in parts[0].suffixes]
    spread = max(expected) - min(expected)
    assert model.logits(build_pack(parts, CPU)) == pytest.approx(expected, abs=spread / 10)
