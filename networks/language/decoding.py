"""The likeliest target sequence for each source: greedily, or with a beam.

Beam search keeps the best beginnings of a target, K of them, and extends each by every token. A
finished target stays among them and competes, so that a beam of one is the greedy search, and one
as wide as the number of all targets is exhaustive. Targets of unequal length are compared by

    log P(Y | X) / lp(Y),   lp(Y) = ((5 + |Y|) / 6)^alpha

from Wu et al. 2016, Google's neural machine translation system, arXiv 1609.08144, section 7, where
|Y| counts the generated tokens with the end. Its coverage penalty is left out.

A translator that has `extend` is asked for the next token only; any other decodes the whole
beginning again. What `encode` and `extend` give are tensors whose first dimension is the batch, or
tuples of such.

Legend: B batch, K beams, S source time, T target time so far, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from core.errors import UserError
from networks.base import Translator


@runtime_checkable
class Extends(Protocol):
    """A translator that can go on from where it stopped."""

    def extend(self, encoded: Any, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Logits [B, T, V] after each of the next tokens [B, T], and the state to go on from."""


def _rows(parts: Any, rows: Tensor) -> Any:
    """Rows of a tensor, or of each tensor in nested tuples."""
    if isinstance(parts, Tensor):
        return parts[rows]
    return tuple(_rows(part, rows) for part in parts)


def _next_token(
    translator: Translator, encoded: Any, tokens: Tensor, state: Any
) -> tuple[Tensor, Any]:
    """Log-probabilities of the token after `tokens` [B, T], float32 [B, V], and a state or None."""
    if isinstance(translator, Extends):
        logits, state = translator.extend(encoded, tokens[:, -1:], state)
    else:
        logits = translator.decode(encoded, tokens)
    return logits[:, -1].float().log_softmax(dim=-1), state


def _trim(tokens: Tensor, end: int) -> list[list[int]]:
    """Each row of [B, T] up to the end and without it."""
    rows: list[list[int]] = tokens.tolist()
    return [row[: row.index(end)] if end in row else row for row in rows]


@torch.no_grad()
def greedy(
    translator: Translator, source: Tensor, attend: Tensor, *, start: int, end: int, longest: int
) -> list[list[int]]:
    """Take the likeliest token at every step.

    Args:
        translator: in evaluation mode, so that nothing is dropped.
        source: tokens int64 [B, S].
        attend: bool [B, S], false at padding.
        start: token that a target begins with; it is not part of the result.
        end: token that ends a target; it is not part of the result either.
        longest: tokens after which an unfinished target is cut off.

    Returns:
        B lists of tokens.
    """
    encoded, state = translator.encode(source, attend), None
    tokens = source.new_full((len(source), 1), start)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    while tokens.shape[1] <= longest and not ended.all():
        log_probs, state = _next_token(translator, encoded, tokens, state)
        chosen = log_probs.argmax(dim=-1).masked_fill(ended, end)  # [B]
        ended = ended | (chosen == end)
        tokens = torch.cat((tokens, chosen[:, None]), dim=1)
    return _trim(tokens[:, 1:], end)


@dataclass(frozen=True)
class _Beams:
    """The best beginnings of targets so far."""

    tokens: Tensor
    """int64 [B, K, T], from the start token on; after the end only more ends."""
    total: Tensor
    """log P(Y | X), float32 [B, K]; minus infinity where there is no target yet."""
    lengths: Tensor
    """|Y|, int64 [B, K]."""
    ended: Tensor
    """bool [B, K]."""

    def finished(self, alpha: float) -> Tensor:
        """Scores of the targets that ended, minus infinity elsewhere, [B, K]."""
        scores = self.total / _length_penalty(self.lengths, alpha)
        return scores.masked_fill(~self.ended, float("-inf"))

    def settled(self, longest: int, alpha: float) -> bool:
        """Whether no unfinished target can beat the finished ones: its log P can only fall."""
        going = self.total.masked_fill(self.ended, float("-inf"))
        ceiling = going.amax(dim=1) / ((5 + longest) / 6) ** alpha  # [B]
        return bool((self.finished(alpha).amax(dim=1) >= ceiling).all())

    def best(self, alpha: float) -> Tensor:
        """The beam of the best score, among the finished ones if there are any: int64 [B]."""
        finished = self.finished(alpha)
        none = finished.amax(dim=1, keepdim=True) == float("-inf")
        return torch.where(none, self.total, finished).argmax(dim=1)


def _length_penalty(lengths: Tensor, alpha: float) -> Tensor:
    """lp(Y), equation 14 of Wu et al. 2016."""
    return ((5 + lengths) / 6) ** alpha


def _extend_beams(kept: _Beams, log_probs: Tensor, end: int, alpha: float) -> tuple[_Beams, Tensor]:
    """The best targets that are one token longer, and the beams [B, K] that they come from.

    `log_probs` are of the next token, [B, K, V].
    """
    # A finished target goes on in one way only, with another end that costs nothing.
    log_probs = log_probs.masked_fill(kept.ended[..., None], float("-inf"))
    log_probs[..., end].masked_fill_(kept.ended, 0.0)
    lengths = kept.lengths + ~kept.ended
    total = kept.total[..., None] + log_probs  # [B, K, V]
    scores = total / _length_penalty(lengths, alpha)[..., None]
    chosen = scores.flatten(1).topk(kept.total.shape[1]).indices  # [B, K]
    parents, added = chosen // log_probs.shape[2], chosen % log_probs.shape[2]
    longer = _Beams(
        tokens=torch.cat(
            (kept.tokens.take_along_dim(parents[..., None], dim=1), added[..., None]), dim=2
        ),
        total=total.flatten(1).gather(1, chosen),
        lengths=lengths.gather(1, parents),
        ended=kept.ended.gather(1, parents) | (added == end),
    )
    return longer, parents


@torch.no_grad()
def beam_search(
    translator: Translator,
    source: Tensor,
    attend: Tensor,
    *,
    start: int,
    end: int,
    longest: int,
    beams: int = 4,
    alpha: float = 0.6,
) -> list[list[int]]:
    """Search for the targets of the best score.

    Args:
        translator, source, attend, start, end, longest: as for `greedy`.
        beams: K, targets kept for each source.
        alpha: strength of the length penalty; 0 prefers short targets, 1 compares the means of the
            tokens' log-probabilities, nearly.

    Returns:
        B lists of tokens. A target that was cut off is returned only if none has ended.

    Raises:
        UserError: no beams, or a negative alpha.
    """
    if beams < 1 or not alpha >= 0:
        raise UserError(
            f"beam search needs 1 beam or more and alpha of 0 or more, got {beams} and {alpha}"
        )
    batch, device = len(source), source.device
    first = beams * torch.arange(batch, device=device)[:, None]  # [B, 1], rows of the first beams
    copies = torch.arange(batch, device=device).repeat_interleave(beams)  # [B*K]
    encoded, state = _rows(translator.encode(source, attend), copies), None
    kept = _Beams(
        tokens=source.new_full((batch, beams, 1), start),
        total=torch.zeros(batch, beams, device=device),
        lengths=torch.zeros(batch, beams, dtype=torch.int64, device=device),
        ended=torch.zeros(batch, beams, dtype=torch.bool, device=device),
    )
    # All beams begin alike. Only the first counts, else they would stay copies of one another.
    kept.total[:, 1:] = float("-inf")
    while kept.tokens.shape[2] <= longest and not kept.settled(longest, alpha):
        log_probs, state = _next_token(translator, encoded, kept.tokens.flatten(0, 1), state)
        kept, parents = _extend_beams(kept, log_probs.view(batch, beams, -1), end, alpha)
        state = None if state is None else _rows(state, (first + parents).flatten())
    best = kept.tokens[torch.arange(batch, device=device), kept.best(alpha)]  # [B, T]
    return _trim(best[:, 1:], end)
