"""Translation: cross-entropy of each next token of the target, BLEU of what is decoded.

Legend: B pairs of a batch, S T source and target time, V vocabulary with the special tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.agent import Assessment
from core.errors import UserError
from core.learner import Arithmetic
from networks.base import Translator
from networks.language.decoding import beam_search, greedy
from tasks.data.pairs import Pairs, load_pairs
from tasks.network_options import build_fitted
from tasks.pictures import attention_map
from tasks.problem import Scored, Stop
from tasks.tokens import BytePairs
from tasks.translate.bleu import Bleu, bleu
from tasks.translate.config import TranslateConfig

SENTENCES_AT_ONCE = 64
SAMPLES = 5
PICTURED_TOKENS = 18
"""The attention map is of the first sentence with at most so many tokens."""
LENGTHS = (0, 8, 11, 14, 18)
"""Words of a source sentence at which the groups begin that BLEU is told for."""
NOT_SCORED = -100
"""Target of a position that is padding."""


@dataclass(frozen=True)
class TokenPairs:
    """Pairs of sentences as tokens, without special ones."""

    source: list[np.ndarray]
    target: list[np.ndarray]


class Translation:
    """Pairs of sentences, and how well one side is translated into the other."""

    def __init__(self, config: TranslateConfig) -> None:
        """Read the sentences. Raises UserError when they are not here or damaged."""
        self.config = config
        self.data = load_pairs(
            config.data, config.data_target, config.source_ending, config.target_ending
        )
        train = self.data.train
        self.tokenizer = BytePairs([*train.source, *train.target], config.vocabulary)
        size = self.tokenizer.size
        self.pad, self.start, self.end, self.vocabulary = size, size + 1, size + 2, size + 3
        self.train = self._encode(train, config.longest)
        self.num_examples = len(self.train.source)
        self._found: dict[str, np.ndarray] = {}
        if not self.num_examples:
            raise UserError(
                f"no pair of {self.data.name} has at most {config.longest} tokens on both sides; "
                f"raise --longest"
            )

    def _encode(self, pairs: Pairs, longest: int) -> TokenPairs:
        encode = self.tokenizer.encode
        both = [(encode(a), encode(b)) for a, b in zip(pairs.source, pairs.target, strict=True)]
        kept = [(a, b) for a, b in both if 0 < len(a) <= longest and 0 < len(b) <= longest]
        return TokenPairs([a for a, _ in kept], [b for _, b in kept])

    def build_network(self) -> nn.Module:
        """The network for this vocabulary. Raises UserError."""
        config = self.config
        fitted = {"vocabulary": self.vocabulary}
        return build_fitted(config.network, "translation", config.network_options, fitted)

    def batch(self, examples: np.ndarray, random: np.random.Generator) -> dict[str, np.ndarray]:
        """Source int64 [B, S] with an end, where it is not padding, bool [B, S]; the target with a
        start and, one place further, with an end, int64 [B, T]."""
        sources = [[*self.train.source[i], self.end] for i in examples]
        targets = [self.train.target[i] for i in examples]
        source = padded(sources, self.pad)
        return {
            "source": source,
            "attend": source != self.pad,
            "target": padded([[self.start, *target] for target in targets], self.pad),
            "next": padded([[*target, self.end] for target in targets], NOT_SCORED),
        }

    def loss(
        self, network: nn.Module, batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy with label smoothing, nats per token."""
        logits = network(batch["source"], batch["attend"], batch["target"]).float()  # [B, T, V]
        loss = F.cross_entropy(
            logits.flatten(0, 1),
            batch["next"].flatten(),
            ignore_index=NOT_SCORED,
            label_smoothing=self.config.training.label_smoothing,
        )
        return loss, {}

    def validate(self, network: nn.Module, arithmetic: Arithmetic, stop: Stop) -> Assessment | None:
        """BLEU on the validation part, decoded greedily."""
        pairs = self.data.validation
        translated = self.translate(network, arithmetic, pairs.source, 1, stop)
        if translated is None:
            return None
        found = bleu(translated, pairs.target)
        self._found = self._attention(network, arithmetic, pairs, "validation/attention")
        return Assessment(
            [found.score], found.score, {"validation/bleu": found.score},
            f"validation BLEU {found.score:.2f}",
        )  # fmt: skip

    def test(self, network: nn.Module, arithmetic: Arithmetic, stop: Stop) -> Scored | None:
        """BLEU on the test part, decoded with a beam; some translations; a map of attention."""
        pairs, config = self.data.test, self.config
        translated = self.translate(network, arithmetic, pairs.source, config.beams, stop)
        if translated is None:
            return None
        found: Bleu = bleu(translated, pairs.target)
        samples = [
            {"source": source, "translation": translation, "reference": reference}
            for source, translation, reference in zip(
                pairs.source[:SAMPLES], translated, pairs.target, strict=False
            )
        ]
        lines = [
            f"test BLEU {found.score:.2f} of {len(pairs):,} sentences ({found.signature}), "
            f"{config.beams} beam{'s' * (config.beams > 1)}"
        ]
        lengths = by_length(pairs, translated)
        lines += [f"  {group['words']} words: {group['bleu']:.2f} of {group['sentences']:,}"
                  for group in lengths]  # fmt: skip
        for sample in samples:
            lines += [f"    {name:<12}{text}" for name, text in sample.items()]
        return Scored(
            {"bleu": found.score},
            lines,
            {
                "signature": found.signature,
                "beams": config.beams,
                "lengths": lengths,
                "samples": samples,
            },
            self._attention(network, arithmetic, pairs, "attention"),
        )

    def translate(
        self,
        network: nn.Module,
        arithmetic: Arithmetic,
        sentences: Sequence[str],
        beams: int,
        stop: Stop,
    ) -> list[str] | None:
        """Translations in the order of the sentences; None where it was stopped."""
        assert isinstance(network, Translator)
        tokens = [self.tokenizer.encode(sentence) for sentence in sentences]
        by_length = sorted(range(len(tokens)), key=lambda i: len(tokens[i]))
        translated = [""] * len(tokens)
        for first in range(0, len(by_length), SENTENCES_AT_ONCE):
            if stop():
                return None
            rows = by_length[first : first + SENTENCES_AT_ONCE]
            source = padded([[*tokens[i][: self.config.longest], self.end] for i in rows], self.pad)
            found = self._search(network, arithmetic, source, beams)
            for i, words in zip(rows, found, strict=True):
                translated[i] = self.tokenizer.decode([w for w in words if w < self.pad])
        return translated

    def _search(
        self, network: Translator, arithmetic: Arithmetic, source: np.ndarray, beams: int
    ) -> list[list[int]]:
        """Target tokens of each source, int64 [B, S]."""
        tokens = arithmetic.tensor(source)
        attend = tokens != self.pad
        limits = {
            "start": self.start,
            "end": self.end,
            "longest": min(self.config.longest, 2 * source.shape[1] + 10),
        }
        with arithmetic.autocast():
            if beams == 1:
                return greedy(network, tokens, attend, **limits)
            alpha = self.config.alpha
            return beam_search(network, tokens, attend, beams=beams, alpha=alpha, **limits)

    @torch.no_grad()
    def _attention(
        self, network: nn.Module, arithmetic: Arithmetic, pairs: Pairs, name: str
    ) -> dict[str, np.ndarray]:
        """A map of attention for the first short sentence, where the network has one."""
        assert isinstance(network, Translator)
        encoded = [self.tokenizer.encode(sentence) for sentence in pairs.source[:200]]
        short = next((words for words in encoded if 0 < len(words) <= PICTURED_TOKENS), None)
        if short is None:
            return {}
        source = np.array([[*short, self.end]])
        found = self._search(network, arithmetic, source, 1)[0][: 2 * PICTURED_TOKENS]
        tokens = arithmetic.tensor(source)
        target = arithmetic.tensor(np.array([[self.start, *found]]))
        weights = network.attention_map(tokens, tokens != self.pad, target)
        if weights is None:
            return {}
        labels = [[*map(self._word, part), "(end)"] for part in (short, found)]
        return {name: attention_map(weights[0].float().cpu().numpy(), *labels)}

    def _word(self, token: int) -> str:
        return self.tokenizer.decode([token]) if token < self.pad else "(special)"

    def pictures(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The map of attention of the last validation."""
        return self._found

    def identity(self) -> dict[str, Any]:
        """The data's digest and the size of the vocabulary."""
        return {"data": self.data.digest(), "vocabulary": self.vocabulary}

    def describe(self) -> list[str]:
        """Sizes and licence."""
        data = self.data
        return [
            f"{data.name}: {self.num_examples:,} of {len(data.train):,} pairs to train on, "
            f"{len(data.validation):,} for validation, {len(data.test):,} for the test; a "
            f"vocabulary of {self.vocabulary:,}; licence: {data.licence}"
        ]


def by_length(pairs: Pairs, translated: list[str]) -> list[dict[str, Any]]:
    """BLEU of short and of long source sentences apart; groups without sentences are left out."""
    lengths = np.array([len(source.split()) for source in pairs.source])
    group_of = np.searchsorted(LENGTHS, lengths, side="right") - 1
    groups = []
    for group, least in enumerate(LENGTHS):
        rows = np.flatnonzero(group_of == group).tolist()
        if rows:
            score = bleu([translated[i] for i in rows], [pairs.target[i] for i in rows]).score
            last = group == len(LENGTHS) - 1
            words = f"{least} or more" if last else f"{least} to {LENGTHS[group + 1] - 1}"
            groups.append({"words": words, "sentences": len(rows), "bleu": score})
    return groups


def padded(rows: Sequence[Sequence[int]], filler: int) -> np.ndarray:
    """Rows of unequal length as one array, int64 [B, longest]."""
    array = np.full((len(rows), max(map(len, rows))), filler, np.int64)
    for i, row in enumerate(rows):
        array[i, : len(row)] = row
    return array
