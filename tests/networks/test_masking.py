"""Hidden tokens: the paper's shares, counted."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from core.errors import UserError
from networks.language.masking import mask_tokens

VOCABULARY, MASK = 50, 50
TOKENS = torch.randint(VOCABULARY, (400, 128), generator=torch.Generator().manual_seed(3))


def hide(seed: int = 0, tokens: Tensor = TOKENS, **options: object) -> tuple[Tensor, Tensor]:
    """The function with a fresh generator."""
    generator = torch.Generator().manual_seed(seed)
    return mask_tokens(tokens, MASK, VOCABULARY, generator, **options)  # type: ignore[arg-type]


def test_fifteen_in_a_hundred_are_chosen_in_every_row() -> None:
    _, chosen = hide()
    assert (chosen.sum(dim=1) == 19).all()  # 0.15 * 128 = 19.2
    everywhere = chosen.sum(dim=0) / 400  # each position equally often, within 4 deviations
    assert ((everywhere - 19 / 128).abs() < 4 * (0.15 * 0.85 / 400) ** 0.5).all()


def test_eighty_ten_ten() -> None:
    seen, chosen = hide()
    before, after = TOKENS[chosen], seen[chosen]
    number = len(before)
    # A random token is the old one once in V times: 0.1 (1 - 1 / V) are seen to change.
    for share, expected in (
        ((after == MASK), 0.8),
        ((after != before) & (after != MASK), 0.1 * (1 - 1 / VOCABULARY)),
        ((after == before), 0.1 + 0.1 / VOCABULARY),
    ):
        deviation = (expected * (1 - expected) / number) ** 0.5
        assert abs(share.float().mean() - expected) < 4 * deviation


def test_random_tokens_are_all_tokens_alike() -> None:
    seen, chosen = hide(rate=1.0)
    swapped = seen[chosen & (seen != TOKENS) & (seen != MASK)]
    counts = torch.bincount(swapped, minlength=VOCABULARY)
    expected = len(swapped) / VOCABULARY
    assert len(counts) == VOCABULARY
    assert ((counts - expected).abs() < 4.5 * expected**0.5).all()


def test_the_others_stay_and_the_input_is_not_touched() -> None:
    before = TOKENS.clone()
    seen, chosen = hide()
    assert torch.equal(TOKENS, before)
    assert torch.equal(seen[~chosen], TOKENS[~chosen])
    assert seen.dtype == torch.int64 and chosen.dtype == torch.bool


def test_the_generator_decides_alone() -> None:
    torch.manual_seed(1)
    first = hide(7)
    torch.manual_seed(2)
    for got, expected in zip(hide(7), first, strict=True):
        assert torch.equal(got, expected)
    assert not torch.equal(hide(8)[1], first[1])


def test_only_eligible_tokens_are_chosen() -> None:
    eligible = torch.zeros(3, 40, dtype=torch.bool)
    eligible[0, :20] = True  # 3 of 20
    eligible[1, 5] = True  # 0.15 is none, but one is the least
    tokens = TOKENS[:3, :40]
    seen, chosen = hide(tokens=tokens, eligible=eligible)
    assert chosen.sum(dim=1).tolist() == [3, 1, 0]
    assert not (chosen & ~eligible).any()
    assert torch.equal(seen[2], tokens[2])


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.1, float("nan")])
def test_rates_that_cannot_be_are_refused(rate: float) -> None:
    with pytest.raises(UserError, match="rate of masked tokens"):
        hide(rate=rate)
