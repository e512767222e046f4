"""BLEU by sacrebleu, with the signature that makes it comparable.

Papers: Papineni et al. 2002, BLEU; Post 2018, A call for clarity in reporting BLEU scores, arXiv
1804.08771.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import UserError


@dataclass(frozen=True)
class Bleu:
    """A score of a whole corpus."""

    score: float
    """0 to 100."""
    signature: str
    """How it was computed, as sacrebleu writes it."""


def bleu(translations: Sequence[str], references: Sequence[str]) -> Bleu:
    """Corpus BLEU with one reference for each translation. Raises UserError without sacrebleu."""
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as error:
        raise UserError("BLEU needs sacrebleu: pip install sacrebleu") from error
    # The data may be cut into words already, of which sacrebleu would warn.
    metric = BLEU(force=True)
    score = metric.corpus_score(list(translations), [list(references)]).score
    return Bleu(float(score), str(metric.get_signature()))
