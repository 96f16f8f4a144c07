"""A Qwen3 model whose weights hold a matching circuit before any training.

From scratch a model of this size learns no matching at all from real pairs: document tokens would
have to learn, at once, which earlier tokens are the query and to attend to equal ones. So both are
built in, as named weight slices, and training starts from a model that already reranks:

- the embedding gives equal words (see `vocabulary.normal_forms`) equal codes, and each its idf;
- layer 1: "am I in the document?" and "what was the token before me?";
- layer 2: document tokens attend to equal query tokens (words and word pairs), and to themselves
  earlier in the document, so that a repeated word counts less;
- the last layer: the last token sums the matches into the score that the "Yes" row reads.

Every other weight is 0, and stays so in training (`keep_zeros`), which keeps the model general:
with small noise elsewhere and every weight of an earlier circuit trained, 100 steps took nDCG@10 on
tatqa's development set from 0.53 to 0.33.
"""

import dataclasses
import math

import numpy as np
import torch
from torch import Tensor
from transformers import Qwen3Config, Qwen3ForCausalLM

from zelo.training.nano.codes import CODE_DIMS, form_codes

HIDDEN = 128
LAYERS = 3
HEADS = 3
HEAD_DIM = 64
LENGTH_PRIOR = 1000.0  # tokens; see `_set_last_layer`
# What makes a sum of matches a logit, see there too. Chosen by looking at a few hundred candidates
# of development and training queries, and of ContractNLI's: a document that matches 0.4 of what its
# query could match is as likely relevant as not; most candidates have logits from -25 to 0.
SHARE_SHIFT, LOGIT_SHIFT = -0.4, -0.05
MASS_WEIGHT, LOGIT_GAIN = 16.0, 86.0
# Of the novelty that is squared, see `_multiply`: 1.5 at a word's first occurrence.
NOVELTY, NOVELTY_SHIFT = 1.333, 0.3
WORD_GATE = 8.0
WORD_WEIGHT, PAIR_WEIGHT = 0.3, 0.24  # of a match in the sum; see `_set_last_layer`


class Dim:
    """Where each fact lives in the residual stream; the rest is free."""

    CODE = slice(0, 42)  # unit-variance code of the token's normal form
    PREVIOUS = slice(42, 84)  # rotated code of the token before (layer 1)
    BIAS, IDF, START, END = 84, 85, 86, 87
    WORD = 88  # 1 for tokens with an idf
    SEGMENT = 89  # +1 in the document, -1 in the query (layer 1)
    HEADER = 90  # the token before is <|im_start|>: "system", "user" (layer 1)
    MATCH, PAIR = 91, 92  # idf of the matched query token (layer 2)
    HIT, PAIR_HIT = 93, 94  # share of the attention that found a word (layer 2)
    FIRST = 95  # 1.35 where the word is new in this document, falling with each repeat (layer 2)
    GAIN, PAIR_GAIN = 96, 97  # match times novelty squared (layer 2's MLP)
    MASS = 98  # idf of all query tokens (last layer, last token)
    SCORE = 99  # what the "Yes" row reads
    FREE = slice(100, 128)


@dataclasses.dataclass(frozen=True, slots=True)
class TokenFacts:
    """What the construction needs to know of each token id; arrays of length `vocabulary`."""

    forms: list[str]
    idf: np.ndarray  # in [0, 1]; 0 for tokens that say nothing
    start_id: int
    end_id: int
    yes_id: int
    last_id: int
    """Of the token that ends every prompt, where the score is read."""


def nano_config(vocabulary: int, *, eos_id: int, pad_id: int) -> Qwen3Config:
    """128 wide, 3 layers of 3 heads of 64: 1.6 million parameters at 10,240 tokens.

    As narrow as the facts of `Dim` allow, so that float32 weights are small enough for a package.
    Rounded to bfloat16, 192 wide, they lost 0.01 to 0.025 nDCG@10 on each development set.
    """
    return Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=HIDDEN,
        intermediate_size=16,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        head_dim=HEAD_DIM,
        max_position_embeddings=8192,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        tie_word_embeddings=True,
        rms_norm_eps=1e-6,
        bos_token_id=None,
        eos_token_id=eos_id,
        pad_token_id=pad_id,
    )


# Of a head's 32 rotary pairs (i, i + 32), those from 10 on turn by less than 1/1000 per token, so
# they compare content whatever the distance; the first four turn fast and tell neighbours apart.
# With Qwen's base of 1,000,000 only 30 dimensions were slow, and codes of 30 collide more.
ROPE_THETA = 1e10
_SLOW = [*range(10, 32), *range(42, 64)]
_CONTENT = torch.tensor([d for d in _SLOW if d not in (31, 63)])  # 42 dims for a code
_SINK, _SIDE = 31, 63  # the slowest pair: "attend to nothing", and which segment to look in
_FAST = (0, 1, 2, 3)


def build(config: Qwen3Config, facts: TokenFacts, *, seed: int) -> Qwen3ForCausalLM:
    """A float32 model with the circuit in place; the same seed gives the same weights."""
    generator = torch.Generator().manual_seed(seed)
    model = Qwen3ForCausalLM(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1.0 if "norm" in name else 0.0)
        _set_embeddings(model, facts, generator)
        _set_first_layer(_Layer(model, 0, generator))
        _set_second_layer(_Layer(model, 1, generator))
        _set_last_layer(_Layer(model, LAYERS - 1, generator))
        norm = model.model.norm.weight
        norm.fill_(0.0)
        norm[Dim.SCORE] = LOGIT_GAIN  # nothing else is read
    return model


def _set_embeddings(model: Qwen3ForCausalLM, facts: TokenFacts, generator: torch.Generator) -> None:
    rows = model.model.embed_tokens.weight
    rows.zero_()
    rows[:, Dim.CODE] = form_codes(facts.forms, generator)
    rows[[facts.start_id, facts.end_id], Dim.CODE] = 0.0
    rows[:, Dim.BIAS] = 2.0
    rows[:, Dim.IDF] = torch.from_numpy(facts.idf).float()
    rows[:, Dim.WORD] = (rows[:, Dim.IDF] > 0).float()
    rows[:, Dim.FREE].normal_(0.0, 0.2, generator=generator)
    rows[facts.start_id, Dim.START] = 4.0
    rows[facts.end_id, Dim.END] = 4.0
    # Small, for logits of a few units: at 4 the first losses were three times those of guessing.
    rows[facts.yes_id, Dim.SCORE] = 1.3
    rows[facts.last_id, Dim.SCORE] = LOGIT_SHIFT
    # A constant norm keeps RMSNorm a constant factor, which each layer's norm weight undoes.
    # The filler goes where nothing is read by name: all rows end at the same norm.
    short = (_embedding_norm(rows) ** 2 - rows.square().sum(1)).clamp(min=0).sqrt()
    filler = rows[:, Dim.FREE]
    rows[:, Dim.FREE] = (
        filler * ((filler.norm(dim=1) ** 2 + short**2).sqrt() / filler.norm(dim=1))[:, None]
    )


def _embedding_norm(rows: Tensor) -> float:
    return float(rows.norm(dim=1).median())


class _Layer:
    """Setting one layer's weights by the names of heads and dimensions."""

    def __init__(self, model: Qwen3ForCausalLM, index: int, generator: torch.Generator) -> None:
        self.layer = model.model.layers[index]
        self.attention = self.layer.self_attn
        self.generator = generator
        # Residual norm: the embedding's, and a code more once it is copied.
        embedding = _embedding_norm(model.model.embed_tokens.weight)
        copied = math.sqrt(embedding**2 + CODE_DIMS)
        norm = embedding if index == 0 else copied
        self.layer.input_layernorm.weight.fill_(norm / math.sqrt(HIDDEN))
        self.layer.post_attention_layernorm.weight.fill_(copied / math.sqrt(HIDDEN))

    def sharpness(self, dims: Tensor | list[int], largest_logit: float) -> None:
        """Queries and keys have norm 8 after their RMSNorm, so a weight w gives logits to 8 w^2."""
        weight = math.sqrt(largest_logit / math.sqrt(HEAD_DIM))
        self.attention.q_norm.weight[dims] = weight
        self.attention.k_norm.weight[dims] = weight

    def rows(self, projection: str, head: int) -> Tensor:
        """[head_dim, hidden] view of a head's rows of q_proj, k_proj or v_proj, set to 0."""
        weight: Tensor = getattr(self.attention, projection).weight
        view = weight[head * HEAD_DIM : (head + 1) * HEAD_DIM]
        return view

    def clear(self, head: int) -> tuple[Tensor, Tensor, Tensor]:
        """Zeroed query, key and value rows of a head, and no output from it yet."""
        views = tuple(self.rows(name, head) for name in ("q_proj", "k_proj", "v_proj"))
        for view in views:
            view.zero_()
        self.attention.o_proj.weight[:, head * HEAD_DIM : (head + 1) * HEAD_DIM] = 0.0
        return views[0], views[1], views[2]

    def write(self, head: int, value: int, target: int, scale: float) -> None:
        """Let dimension `value` of the head's output add `scale` times itself to `target`."""
        self.attention.o_proj.weight[target, head * HEAD_DIM + value] = scale


def _set_first_layer(layer: _Layer) -> None:
    layer.sharpness(_SLOW, 21.0)
    layer.sharpness([d for i in _FAST for d in (i, i + 32)], 32.0)

    # Head 0: where am I? <|im_end|> wins once there is one; until then the first <|im_start|>.
    query, key, value = layer.clear(0)
    query[_SIDE, Dim.BIAS] = 1.0
    key[_SINK, Dim.BIAS] = 0.5
    key[_SIDE, Dim.END] = 2.5
    key[_SIDE, Dim.START] = 0.25
    value[0, Dim.END] = 0.25
    value[0, Dim.START] = -0.25
    layer.write(0, 0, Dim.SEGMENT, 1.0)

    # Head 1: the token before me. A query turned back by a step in each fast pair peaks there.
    query, key, value = layer.clear(1)
    for pair in _FAST:
        angle = ROPE_THETA ** (-pair / (HEAD_DIM // 2))
        query[pair, Dim.BIAS] = math.cos(angle)
        query[pair + 32, Dim.BIAS] = -math.sin(angle)
        key[pair, Dim.BIAS] = 1.0
    # Another basis for the copied code, so that "a b" and "b a" differ when codes are added.
    turn = torch.linalg.qr(torch.randn(CODE_DIMS, CODE_DIMS, generator=layer.generator))[0]
    value[:CODE_DIMS, Dim.CODE] = turn
    for place in range(CODE_DIMS):
        layer.write(1, place, Dim.PREVIOUS.start + place, 1.0)
    value[CODE_DIMS, Dim.START] = 0.25
    layer.write(1, CODE_DIMS, Dim.HEADER, 1.0)


def _set_second_layer(layer: _Layer) -> None:
    layer.sharpness(_SLOW, 60.0)
    word, pair = [Dim.CODE], [Dim.CODE, Dim.PREVIOUS]
    _match_head(layer, 0, word, side=-1.0, sink=0.91)
    layer.write(0, 0, Dim.MATCH, 1.0)
    layer.write(0, 1, Dim.HIT, 1.0)
    # Half of a pair has cosine 0.5 plus chance: the sink must take it up to about 0.85. With 0.91
    # half pairs outweighed whole words (tatqa development set 0.43 instead of 0.53, untrained).
    _match_head(layer, 1, pair, side=-1.0, sink=1.02)
    layer.write(1, 0, Dim.PAIR, 1.0)
    layer.write(1, 1, Dim.PAIR_HIT, 1.0)
    # The sink's share is 0.11 at the first occurrence, 0.06 at the second. The like for pairs is of
    # no use: how long the sum of two codes is, is chance, and with it how much the sink gets.
    _match_head(layer, 2, word, side=1.0, sink=1.0)
    layer.write(2, 2, Dim.FIRST, 12.6)

    _multiply(layer, 0, Dim.MATCH, (Dim.HIT, 6.0), Dim.GAIN)
    _multiply(layer, 2, Dim.PAIR, (Dim.PAIR_HIT, 6.0), Dim.PAIR_GAIN)


def _multiply(layer: _Layer, unit: int, match: int, sure: tuple[int, float], target: int) -> None:
    """Two units of the MLP: `target` becomes match times novelty squared, in the document.

    A SwiGLU unit is silu(gate) * up, and silu(x) + silu(-x) = x tanh(x / 2): nearly a square, and
    never negative. Novelty falls as 1 / occurrences, so that its square gives a word's occurrences
    the worth 1, .23, .07, .02, ... With one unit the fifth and every later one took away 0.08, and
    a long document on the query's very subject sank.

    Both gates are shut in the query, at stop words and where the match is not sure: else what leaks
    to all other tokens of a long document adds up to more than its matches.
    """
    gate, up = layer.layer.mlp.gate_proj.weight, layer.layer.mlp.up_proj.weight
    down = layer.layer.mlp.down_proj.weight
    hit, weight = sure
    segment = 16.0
    opened = weight + 0.991 * segment + WORD_GATE  # at a match, as measured
    for row, sign in ((unit, 1.0), (unit + 1, -1.0)):
        gate[row] = 0.0
        gate[row, Dim.FIRST] = sign * NOVELTY
        gate[row, hit] = weight
        gate[row, Dim.SEGMENT] = segment
        gate[row, Dim.WORD] = WORD_GATE
        gate[row, Dim.BIAS] = (-sign * NOVELTY_SHIFT - opened) / 2.0
        up[row] = 0.0
        up[row, match] = 1.0
        down[:, row] = 0.0
        down[target, row] = 1.5


def _match_head(layer: _Layer, head: int, codes: list[slice], *, side: float, sink: float) -> None:
    """Attend to tokens of equal code in the query (side -1) or document (1), else to the sink.

    `sink` is in norms of a code. Logits at most 60: an equal token is about 7 above the sink at
    0.91, one of cosine 0.5 about 8 below, an equal token of the wrong side 12 below. With 24 and
    codes as alike as chance makes them, what leaked cost 0.1 nDCG@10 on tatqa, whose questions are
    long.
    """
    query, key, value = layer.clear(head)
    for block in codes:
        scale = 1.0 / math.sqrt(len(codes))
        for place, dim in enumerate(_CONTENT.tolist()):
            query[dim, block.start + place] = scale
            key[dim, block.start + place] = scale
    norm = math.sqrt(CODE_DIMS)
    query[_SINK, Dim.BIAS] = sink * norm / 2
    query[_SIDE, Dim.BIAS] = 0.55 * norm / 2
    key[_SINK, Dim.START] = 5.0
    key[_SIDE, Dim.SEGMENT] = 0.55 * norm * side
    key[_SIDE, Dim.HEADER] = -1.1 * norm
    value[0, Dim.IDF] = 1.0
    value[1, Dim.WORD] = 1.0
    value[2, Dim.START] = 0.25


def _set_last_layer(layer: _Layer) -> None:
    # The last token attends to every token alike and to three <|im_start|> that together weigh as
    # much as LENGTH_PRIOR tokens: sum / (tokens + prior), a sum with a mild penalty for length. An
    # attention that favours matched tokens is worse: repeats, of no value, then dilute the others.
    layer.sharpness(_SLOW, math.log(LENGTH_PRIOR / 3))
    sums = ((0, Dim.GAIN, WORD_WEIGHT), (1, Dim.PAIR_GAIN, PAIR_WEIGHT))
    for head, source, weight in sums:
        query, key, value = layer.clear(head)
        query[_SIDE, Dim.BIAS] = 1.0
        key[_SINK, Dim.BIAS] = 0.5
        key[_SIDE, Dim.START] = 10.0
        value[0, source] = math.sqrt(LENGTH_PRIOR)
        layer.write(head, 0, Dim.SCORE, weight * math.sqrt(LENGTH_PRIOR))

    # Head 2 sums the query's idf. The more a query has to match, the more a score is worth: the
    # sum makes the residual's norm, so that the last RMSNorm divides by it, and a share of it is
    # what a document must match to be as likely relevant as not.
    query, key, value = layer.clear(2)
    query[_SIDE, Dim.BIAS] = 1.0
    key[_SINK, Dim.BIAS] = 0.5
    key[_SIDE, Dim.START] = 10.0
    key[_SIDE, Dim.BIAS] = -10.0
    key[_SIDE, Dim.SEGMENT] = -20.0  # -40 in the document, 0 in the query
    value[0, Dim.IDF] = math.sqrt(LENGTH_PRIOR / 3)
    layer.write(2, 0, Dim.MASS, MASS_WEIGHT * math.sqrt(LENGTH_PRIOR / 3))
    layer.write(2, 0, Dim.SCORE, SHARE_SHIFT * math.sqrt(LENGTH_PRIOR / 3))
