"""How many tokens a pack may have: what running out of memory teaches, and what is free."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zelo.errors import InputError
from zelo.local.budget import LEAST, RECOVERY, Budget
from zelo.local.loading import device as devices
from zelo.local.loading.device import choose_batch_tokens, choose_devices
from zelo.local.memory import numbers_per_token
from zelo.scoring.options import ACCELERATOR_BATCH_TOKENS, CPU_BATCH_TOKENS

QWEN3_4B = {"hidden_size": 2_560, "intermediate_size": 9_728, "head_dim": 128}


def test_what_did_not_fit_halves_what_is_tried():
    """After a pack that did not fit, none of more than half its tokens is made."""
    budget = Budget(16_000)
    budget.did_not_fit(16_000)
    assert (budget.tokens, budget.limit) == (8_000, 8_000)
    budget.did_not_fit(30_000)  # a single long prompt, of which half is still more
    assert budget.tokens == 8_000


def test_a_long_prompt_that_did_not_fit_leaves_shorter_packs_alone():
    """What is true of a prompt beyond the budget says nothing of packs within it."""
    budget = Budget(1_000)
    budget.did_not_fit(30_000)
    assert (budget.tokens, budget.limit) == (1_000, 15_000)


@given(failed=st.lists(st.integers(1, 100_000), min_size=1, max_size=20))
def test_the_budget_never_gets_senseless(failed):
    """However often memory runs out, packs of a few hundred tokens are tried."""
    budget = Budget(16_000)
    for tokens in failed:
        budget.did_not_fit(tokens)
        assert LEAST <= budget.tokens <= 16_000


@given(failed=st.integers(2 * LEAST, 16_000))
def test_it_recovers_slowly(failed):
    """Twice as much is tried after many packs that fitted, and in the end all of it."""
    budget = Budget(16_000)
    budget.did_not_fit(failed)
    for _ in range(RECOVERY - 1):
        budget.fitted()
    assert budget.tokens == failed // 2
    budget.fitted()
    assert budget.tokens == min(16_000, 2 * (failed // 2))
    for _ in range(7 * RECOVERY):
        budget.fitted()
    assert budget.tokens == 16_000


def test_a_failure_starts_the_recovery_anew():
    """Packs that fitted before a failure do not count towards the next trial."""
    budget = Budget(16_000)
    budget.did_not_fit(16_000)
    for _ in range(RECOVERY - 1):
        budget.fitted()
    budget.did_not_fit(8_000)
    budget.fitted()
    assert budget.tokens == 4_000


def backbone(kind: str) -> SimpleNamespace:
    """What is asked of a loaded model."""
    config = SimpleNamespace(**QWEN3_4B)
    return SimpleNamespace(device=torch.device(kind), dtype=torch.bfloat16, config=config)


@pytest.mark.parametrize(
    ("gigabytes", "expected"),
    [
        (140.0, ACCELERATOR_BATCH_TOKENS),
        (2.6, 16_384 * 2.6 / 2.6093),  # 2 x 16,384 x 79,648 bytes is what a full pack needs
        (0.5, 3_138),
        (0.0, 1),
    ],
)
def test_packs_are_as_long_as_free_memory_allows(monkeypatch, gigabytes, expected):
    """A pack of a 4B model takes 2 x (3 x 9,728 + 4 x 2,560 + 2 x 128) = 79,360 bytes for each
    token, and may fill half of what is free; with plenty, packs are no larger than is fastest."""
    monkeypatch.setattr(devices, "_free_bytes", lambda _: int(gigabytes * 1e9))
    per_token = 2 * numbers_per_token(hidden=2_560, intermediate=9_728, head_dim=128)
    assert per_token == 79_360
    found = choose_batch_tokens(None, backbone("cuda"))
    assert found == max(1, min(ACCELERATOR_BATCH_TOKENS, int(gigabytes * 1e9 / 2 / 79_360)))
    assert found == pytest.approx(expected, rel=0.01)


def test_what_was_asked_for_is_taken(monkeypatch):
    """A caller's own number goes before what is free; a CPU has a number of its own."""
    monkeypatch.setattr(devices, "_free_bytes", lambda _: 10**6)
    assert choose_batch_tokens(77, backbone("cuda")) == 77
    assert choose_batch_tokens(None, backbone("cpu")) == CPU_BATCH_TOKENS


def test_a_device_that_does_not_tell_gets_the_usual_packs():
    """Where torch has no number for free memory, what runs out of it is halved all the same."""
    assert choose_batch_tokens(None, backbone("mps")) == ACCELERATOR_BATCH_TOKENS


def test_all_devices_without_an_accelerator_are_the_cpu_once(monkeypatch):
    """`all` is the CPU where there is nothing else, and a device by name is that one."""
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert choose_devices("all") == [torch.device("cpu")]
    assert choose_devices(None) == choose_devices("cpu") == [torch.device("cpu")]
    with pytest.raises(InputError, match="'all of them' cannot be used here"):
        choose_devices("all of them")


def test_all_devices_are_every_accelerator(monkeypatch):
    """`all` names each accelerator of the machine by its number; without it, one is taken."""
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 3)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("meta"))
    monkeypatch.setattr(torch.Tensor, "item", lambda tensor: 0)  # meta holds no numbers, cards do
    assert choose_devices("all") == [torch.device("meta", i) for i in range(3)]
    assert choose_devices(None) == [torch.device("meta")]
