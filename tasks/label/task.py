"""Labelling texts: cross-entropy, accuracy, the confusion matrix.

Devlin et al. 2018, arXiv 1810.04805, section 3.2, and Yang et al. 2019, arXiv 1906.08237: a token
of its own stands before a text, or behind it, and its features give the class. Here it is the mask:
BERT has learned to fill it with what the others tell; XLNet never looked at it and learns it here.

Legend: B texts of a batch, T tokens of one, K classes, N texts of a part.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.agent import Assessment
from core.learner import Arithmetic
from networks.base import MaskedLanguageModel, TextClassifier
from tasks.confusion import assess_confusions, count_confusions, score_confusions
from tasks.data.labelled_texts import PARTS, LabelledTexts, LabelledTextSet, load_labelled_texts
from tasks.data.texts import TextSet, load_text
from tasks.label.config import LabelConfig
from tasks.label.naive_bayes import NaiveBayes
from tasks.network_options import build_fitted
from tasks.pictures import confusion_matrix
from tasks.problem import Scored, Stop
from tasks.token_data import TOKENS_AT_ONCE
from tasks.tokens import build_tokenizer, tokens_digest


class Labelling:
    """Texts as tokens, and how well their classes are told."""

    def __init__(self, config: LabelConfig) -> None:
        """Read the texts. Raises UserError when they are not here or damaged, and for characters
        that the text of the tokens has not."""
        self.config = config
        self.data = load_labelled_texts(config.data)
        self.num_examples = len(self.data.train)
        text = token_text(config, self.data)
        everything = text.train + text.validation + text.test
        self.tokenizer = build_tokenizer(
            config.tokenizer, text.train, everything, config.vocabulary
        )
        self.mask = self.tokenizer.size
        room = config.context_length - 1
        self.seen: dict[str, list[np.ndarray]] = {}
        for name in PARTS:
            encoded = [self.tokenizer.encode(text) for text in getattr(self.data, name).texts]
            self.seen[name] = [tokens[:room].astype(np.int32) for tokens in encoded]
            if name == "train":
                self._cut = np.mean([len(tokens) > room for tokens in encoded])
        with torch.device("meta"):  # sizes without numbers
            self._reads_last = self.build_network().reads_last
        self._found: dict[str, np.ndarray] = {}

    def build_network(self) -> TextClassifier:
        """The network for these tokens and classes. Raises UserError."""
        config = self.config
        fitted = {"vocabulary": self.mask + 1, "context_length": config.context_length}
        network = build_fitted(config.network, "masked", config.network_options, fitted)
        assert isinstance(network, MaskedLanguageModel)
        return network.build_classifier(len(self.data.classes))

    def rows(self, name: str, examples: np.ndarray) -> np.ndarray:
        """Texts of a part by their numbers, int64 [B, T]: `aligned`, T of the longest of them."""
        return aligned([self.seen[name][n] for n in examples], self.mask, not self._reads_last)

    def batch(self, examples: np.ndarray, random: np.random.Generator) -> dict[str, np.ndarray]:
        """Tokens int64 [B, T], -1 where there are none, and labels int64 [B]."""
        labels = self.data.train.labels[examples]
        return {"tokens": self.rows("train", examples), "labels": labels}

    def loss(
        self, network: nn.Module, batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy, and the accuracy."""
        labels, tokens = batch["labels"], batch["tokens"]
        logits = network(tokens.clamp(min=0), tokens >= 0).float()  # [B, K]
        smoothing = self.config.training.label_smoothing
        loss = F.cross_entropy(logits, labels, label_smoothing=smoothing)
        return loss, {"accuracy": (logits.detach().argmax(dim=1) == labels).float().mean()}

    def validate(self, network: nn.Module, arithmetic: Arithmetic, stop: Stop) -> Assessment | None:
        """Accuracy on the validation part."""
        found = self._predict(network, arithmetic, "validation", stop)
        if found is None:
            return None
        counts, loss = found
        self._found = {"validation/confusion": confusion_matrix(counts, self.data.classes)}
        return assess_confusions(counts, loss)

    def test(self, network: nn.Module, arithmetic: Arithmetic, stop: Stop) -> Scored | None:
        """Accuracy on the test part, the confusion matrix, and what counting words tells."""
        found = self._predict(network, arithmetic, "test", stop)
        if found is None:
            return None
        data, decode = self.data, self.tokenizer.decode
        scored = score_confusions(*found, data.classes, "texts")
        # What the network is shown of the texts, and no more.
        train, test = ([decode(tokens.tolist()) for tokens in self.seen[name]]
                       for name in ("train", "test"))  # fmt: skip
        counting = NaiveBayes(train, data.train.labels, len(data.classes))
        right = counting.predict(test) == data.test.labels
        commonest = np.bincount(data.train.labels).argmax()
        scored.scores["naive_bayes_accuracy"] = float(right.mean())
        scored.scores["commonest_class_accuracy"] = float((data.test.labels == commonest).mean())
        scored.lines.append(
            f"yardsticks: {right.mean():.2%} by counting the words it saw (naive Bayes), "
            f"{scored.scores['commonest_class_accuracy']:.2%} by the commonest class"
        )
        return scored

    @torch.no_grad()
    def _predict(
        self, network: nn.Module, arithmetic: Arithmetic, name: str, stop: Stop
    ) -> tuple[np.ndarray, float] | None:
        """How often each class of a part was taken for each, int64 [K, K], and the mean loss; None
        where it was stopped."""
        part: LabelledTexts = getattr(self.data, name)
        predicted, loss = np.empty(len(part), np.int64), 0.0
        size = max(1, TOKENS_AT_ONCE // self.config.context_length)
        for first in range(0, len(part), size):
            if stop():
                return None
            rows = np.arange(first, min(first + size, len(part)))
            tokens, labels = map(arithmetic.tensor, (self.rows(name, rows), part.labels[rows]))
            with arithmetic.autocast():
                logits = network(tokens.clamp(min=0), tokens >= 0).float()  # [B, K]
            loss += float(F.cross_entropy(logits, labels, reduction="sum"))
            predicted[rows] = logits.argmax(dim=1).cpu().numpy()
        counts = count_confusions(part.labels, predicted, len(self.data.classes))
        return counts, loss / len(part)

    def pictures(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The confusion matrix of the validation."""
        return self._found

    def identity(self) -> dict[str, Any]:
        """Digests of the data and the tokens, and how many tokens there are."""
        return {
            "data": self.data.digest(),
            "vocabulary": self.tokenizer.size,
            "tokens": tokens_digest(self.tokenizer),
        }

    def describe(self) -> list[str]:
        """Sizes and licence."""
        data = self.data
        return [
            f"{data.name}: {len(data.train):,} texts to train on, {len(data.validation):,} for "
            f"validation, {len(data.test):,} for the test; {len(data.classes)} classes; a "
            f"vocabulary of {self.tokenizer.size:,}; licence: {data.licence}",
            f"{self._cut:.0%} of the texts are longer than the context of "
            f"{self.config.context_length} tokens, and cut off",
        ]


def token_text(config: LabelConfig, data: LabelledTextSet) -> TextSet:
    """What the tokens are made of; of the novels it is what masked language models read."""
    name = config.text or (config.data if config.data == "austen" else "")
    if name:
        return load_text(name)
    train, validation, test = (
        "\n".join(part.texts) + "\n" for part in (data.train, data.validation, data.test)
    )
    return TextSet(data.name, train, validation, test, data.licence)


def aligned(texts: list[np.ndarray], mask: int, first: bool) -> np.ndarray:
    """Texts of tokens with a mask, as rows of one length with -1 where there are none.

    Args:
        texts: int64 [any] each.
        mask: the token that stands for a whole text.
        first: whether it stands before the text, and rows begin together; or behind, and rows end
            together.

    Returns:
        int64 [N, T], T of the longest text and the mask.
    """
    length = 1 + max(len(text) for text in texts)
    rows = np.full((len(texts), length), -1, np.int64)
    rows[:, 0 if first else -1] = mask
    for row, text in zip(rows, texts, strict=True):
        if first:
            row[1 : 1 + len(text)] = text
        else:
            row[length - 1 - len(text) : -1] = text
    return rows
