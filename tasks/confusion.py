"""Which class was taken for which, and what that says of a classifier.

Legend: N examples, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.agent import Assessment
from tasks.pictures import confusion_matrix
from tasks.problem import Scored, standard_error


def count_confusions(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """How often each class was taken for each, int64 [K, K]: rows are the true classes.

    Args:
        labels: int64 [N].
        predicted: int64 [N].
        classes: K.
    """
    counts = np.bincount(labels * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes)


def accuracy_of(counts: np.ndarray) -> float:
    """Share of right predictions in a confusion matrix."""
    return float(counts.trace() / counts.sum())


def assess_confusions(counts: np.ndarray, loss: float) -> Assessment:
    """Accuracy on the validation part, of counts int64 [K, K] and the mean cross-entropy."""
    accuracy = accuracy_of(counts)
    scalars = {"validation/accuracy": accuracy, "validation/loss": loss}
    text = f"validation accuracy {accuracy:.2%}, loss {loss:.4f}"
    return Assessment([accuracy], accuracy, scalars, text)


def score_confusions(counts: np.ndarray, loss: float, classes: Sequence[str], what: str) -> Scored:
    """Accuracy of all classes and of the hardest, and the confusion matrix.

    Args:
        counts: int64 [K, K].
        loss: mean cross-entropy of the examples.
        classes: K names.
        what: the examples are called.
    """
    number = int(counts.sum())
    accuracy = accuracy_of(counts)
    error = standard_error(int(counts.trace()), number)
    recall = counts.diagonal() / np.maximum(1, counts.sum(axis=1))
    hardest = int(np.where(counts.sum(axis=1) > 0, recall, np.inf).argmin())
    return Scored(
        {"accuracy": accuracy, "standard_error": error, "loss": loss},
        [
            f"test accuracy {accuracy:.2%} ± {error:.2%} (standard error) of {number:,} {what}, "
            f"loss {loss:.4f}",
            f"hardest class: {classes[hardest]}, {recall[hardest]:.1%} of it told right",
        ],
        {"classes": list(classes), "confusion": counts.tolist()},
        {"confusion": confusion_matrix(counts, classes)},
    )
