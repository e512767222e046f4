"""Text from a language model, token by token.

temperature    logits are divided by it; 0 takes the likeliest token (greedy)
top-k          only the k likeliest tokens; Fan et al. 2018, arXiv 1805.04833
top-p          only the likeliest that together have probability p (nucleus sampling); Holtzman et
               al. 2019, arXiv 1904.09751

A model that returns a state is asked for the next token only; one that returns None reads its
window again. A full window goes on from the newer half of it, so that half a window is read anew
after every half a window that was written.

Legend: B batch, T time, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core.errors import UserError
from networks.base import LanguageModel


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. Limits apply in the order of these fields.

    Raises:
        UserError: a value that cannot be.
    """

    temperature: float = 1.0
    """Below 1 likely tokens become likelier; 0 always takes the likeliest."""
    top_k: int | None = None
    """Tokens that are left to choose from; None: all."""
    top_p: float = 1.0
    """Probability of those that are left to choose from."""

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise UserError(f"temperature must be 0 or more, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"top_k must be 1 or more, got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p must be over 0 and at most 1, got {self.top_p}")


GREEDY = Sampling(temperature=0.0)


def limit(logits: Tensor, sampling: Sampling) -> Tensor:
    """Logits [B, V] divided by a temperature over 0, and minus infinity for tokens left out."""
    logits = logits / sampling.temperature
    if sampling.top_k is not None and sampling.top_k < logits.shape[1]:
        least = logits.topk(sampling.top_k).values[:, -1:]  # [B, 1]
        logits = logits.masked_fill(logits < least, float("-inf"))
    if sampling.top_p < 1:
        probabilities, order = logits.softmax(dim=1).sort(dim=1, descending=True)
        before = probabilities.cumsum(dim=1) - probabilities  # of all that are likelier
        outside = before >= sampling.top_p
        logits = logits.masked_fill(outside.scatter(1, order, outside), float("-inf"))
    return logits


def choose(logits: Tensor, sampling: Sampling, generator: torch.Generator | None = None) -> Tensor:
    """Tokens int64 [B] from logits [B, V].

    The same generator in the same state gives the same tokens, wherever the logits are.
    """
    if sampling.temperature == 0:
        return logits.argmax(dim=1)
    probabilities = limit(logits.float(), sampling).softmax(dim=1)
    if generator is not None:
        probabilities = probabilities.to(generator.device)
    drawn = torch.multinomial(probabilities, 1, generator=generator)  # [B, 1]
    return drawn[:, 0].to(logits.device)


@torch.no_grad()
def generate(
    model: LanguageModel,
    prompt: Tensor,
    count: int,
    sampling: Sampling = GREEDY,
    generator: torch.Generator | None = None,
    keep_state: bool = True,
) -> Tensor:
    """Go on from a prompt.

    Args:
        model: in evaluation mode, so that nothing is dropped.
        prompt: int64 [B, T], T at least 1. Of one that is longer than the model's context the
            last tokens are read.
        count: tokens to write.
        sampling: how each is chosen.
        generator: of the choices; None takes torch's own.
        keep_state: false reads the window again for every token, to compare with.

    Returns:
        The prompt and what follows, int64 [B, T + count].

    Raises:
        UserError: the prompt is empty, or the count negative.
    """
    if prompt.shape[1] < 1 or count < 0:
        raise UserError(
            f"writing needs a prompt of 1 token or more and a count of 0 or more, got "
            f"{prompt.shape[1]} and {count}"
        )
    window = model.context_length
    tokens = prompt
    state: Any = None
    start = 0 if window is None else max(0, prompt.shape[1] - window)
    for _ in range(count):
        length = tokens.shape[1]
        if window is not None and length - start > window:
            start, state = length - max(1, window // 2), None
        fresh = tokens[:, start:] if state is None else tokens[:, -1:]
        logits, kept = model(fresh, state)  # [B, T, V]
        state = kept if keep_state else None
        tokens = torch.cat((tokens, choose(logits[:, -1], sampling, generator)[:, None]), dim=1)
    return tokens
