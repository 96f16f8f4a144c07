"""Which documents go into the next pack: nothing lost, nobody starved, small calls soon done."""

import random

from hypothesis import given
from hypothesis import strategies as st

from zelo.local.schedule import Waiting, next_pack

CALLS = st.lists(
    st.tuples(st.integers(0, 200), st.lists(st.integers(1, 500), min_size=1, max_size=20)),
    min_size=1,
    max_size=6,
)


def waiting(*sizes):
    """Calls with a prefix length and suffix lengths each, in order of arrival."""
    return [Waiting(prefix, list(lengths)) for prefix, lengths in sizes]


def drain(calls, budget):
    """Take packs until nothing waits."""
    packs = []
    while left := [call for call in calls if call.pending]:
        packs.append(next_pack(left, budget))
    return packs


@given(sizes=CALLS, budget=st.integers(1, 2_000))
def test_every_sequence_is_taken_once(sizes, budget):
    """Whatever arrives, each sequence goes into exactly one pack, and each pack holds some."""
    calls = waiting(*sizes)
    packs = drain(calls, budget)
    assert all(share.sequences for pack in packs for share in pack)
    for call in calls:
        taken = [
            i for pack in packs for share in pack if share.call is call for i in share.sequences
        ]
        assert sorted(taken) == list(range(len(call.lengths)))


@given(sizes=CALLS, budget=st.integers(1, 2_000))
def test_budget_is_kept(sizes, budget):
    """A pack goes beyond the budget by one sequence of the oldest call at most."""
    calls = waiting(*sizes)
    while left := [call for call in calls if call.pending]:
        room = max(budget, 4 * left[0].prefix_length)
        pack = next_pack(left, budget)
        oldest = pack[0]
        assert oldest.call is left[0]
        used = sum(
            share.call.prefix_length + sum(share.call.lengths[i] for i in share.sequences)
            for share in pack
        )
        assert used <= room or len(oldest.sequences) == 1


@given(lengths=st.lists(st.integers(1, 500), min_size=1, max_size=50))
def test_longest_first(lengths):
    """One call's packs start with the longest sequences left."""
    (call,) = waiting((10, lengths))
    firsts = [lengths[pack[0].sequences[0]] for pack in drain([call], 600)]
    assert firsts == sorted(firsts, reverse=True)
    assert firsts[0] == max(lengths)


@given(large=st.lists(st.integers(1, 400), min_size=50, max_size=200))
def test_small_call_behind_a_large_one_is_in_the_next_pack(large):
    """Five documents that arrive behind a thousand do not wait for them."""
    calls = waiting((20, large), (20, [100] * 5))
    pack = next_pack(calls, 2_048)
    assert not calls[1].pending
    assert {share.call for share in pack} == set(calls)


@given(count=st.integers(1, 30))
def test_large_call_is_not_starved(count):
    """However many small calls keep coming, the oldest call gets on in every pack."""
    (large,) = waiting((20, [300] * 100))
    for _ in range(count):
        before = len(large.pending)
        next_pack([large, *waiting(*[(20, [100] * 5)] * 10)], 2_048)
        assert len(large.pending) < before


def test_long_prefix_enlarges_the_pack():
    """A prefix that would fill a pack on its own is not computed again for every document."""
    (call,) = waiting((1_900, [100] * 20))
    assert len(next_pack([call], 2_048)[0].sequences) == 20


def test_a_long_prefix_keeps_to_what_fits():
    """Beyond the limit no prefix makes a pack larger; a document alone still gets one."""
    (call,) = waiting((1_900, [100] * 20))
    assert len(next_pack([call], 2_048, 2_200)[0].sequences) == 3
    assert len(next_pack([call], 2_048, 500)[0].sequences) == 1


@given(sizes=CALLS, budget=st.integers(1, 2_000), data=st.data())
def test_what_is_handed_back_is_handed_out_again(sizes, budget, data):
    """Sequences of which nothing came wait again in their place: all are taken, longest first."""
    calls = waiting(*sizes)
    shares = next_pack(calls, budget)
    for call, sequences in [(share.call, share.sequences) for share in shares]:
        back = data.draw(st.lists(st.sampled_from(sequences), unique=True))
        call.hand_back(back)
        assert call.pending == sorted(call.pending, key=call.lengths.__getitem__)
        left = set(range(len(call.lengths))) - set(sequences) | set(back)
        assert sorted(call.pending) == sorted(left)


def test_similar_calls_wait_alike():
    """Where many callers ask for about the same again and again, none waits long: not even one
    whose work is always a little more than that of those who come after it."""
    chance = random.Random(7)  # noqa: S311 - no secret

    def work():
        return 40, [chance.randint(150, 280) for _ in range(50)]

    calls = waiting(*(work() for _ in range(32)))
    arrived, waited = dict.fromkeys(calls, 0), []
    for pack in range(1, 2_000):
        next_pack(calls, 2_048)
        for call in [call for call in calls if not call.pending]:
            calls.remove(call)
            waited.append(pack - arrived[call])
            calls.extend(waiting(work()))
            arrived[calls[-1]] = pack
    settled = sorted(waited[len(waited) // 4 :])
    assert settled[-1] < 2 * settled[len(settled) // 2]
