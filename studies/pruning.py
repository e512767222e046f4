"""Magnitude pruning, and sparse networks kept and run as such.

Masks are bool tensors of the weights' shapes; biases are never pruned. Layers go from the first to
the last one.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import safetensors
import torch
from safetensors.torch import load, save
from torch import Tensor
from torch.nn import functional

from core.errors import UserError

Scope = Literal["global", "layers"]
MAX_BYTES = 1 << 28


def prune(
    weights: Sequence[Tensor], masks: Sequence[Tensor], share: float, scope: Scope
) -> list[Tensor]:
    """Masks without a share of the weights that are left, the smallest ones.

    Args:
        weights: after training.
        masks: of the weights that were left in training.
        share: of what is left, to be taken away.
        scope: 'global' compares all weights with one another; 'layers' takes the share from each
            layer, and half of it from the last (Frankle & Carbin 2019, section 2).
    """
    if scope == "layers":
        shares = [share] * (len(weights) - 1) + [share / 2]
        return [
            _without_smallest(weight, mask, part)
            for weight, mask, part in zip(weights, masks, shares, strict=True)
        ]
    flat = [torch.cat([tensor.flatten() for tensor in group]) for group in (weights, masks)]
    pruned = _without_smallest(flat[0], flat[1], share)
    parts = torch.split(pruned, [mask.numel() for mask in masks])
    return [part.view_as(mask) for part, mask in zip(parts, masks, strict=True)]


def _without_smallest(weight: Tensor, mask: Tensor, share: float) -> Tensor:
    magnitude = torch.where(mask, weight.abs(), torch.inf).flatten()
    count = round(share * int(mask.sum()))
    smallest = magnitude.argsort(stable=True)[:count]
    return mask.flatten().index_fill(0, smallest, False).view_as(mask)


def shuffled(masks: Sequence[Tensor], generator: torch.Generator) -> list[Tensor]:
    """Masks that leave as many weights in each layer, anywhere."""
    return [
        mask.flatten()[torch.randperm(mask.numel(), generator=generator)].view_as(mask)
        for mask in masks
    ]


def remaining(masks: Sequence[Tensor]) -> float:
    """Share of the weights that are left."""
    return sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)


class SparseNetwork:
    """A fully connected network with relu that holds and multiplies only the weights left."""

    def __init__(self, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> None:
        """Args:
        weights: [O, I] each, sparse or with zeros.
        biases: [O] each.
        """
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
            self.weights = [w if w.is_sparse_csr else w.detach().to_sparse_csr() for w in weights]
        self.biases = [bias.detach() for bias in biases]

    def __call__(self, inputs: Tensor) -> Tensor:
        """Inputs [B, I] -> logits [B, K]."""
        hidden = inputs.T  # [I, B]
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if layer:
                hidden = functional.relu(hidden)
            hidden = weight @ hidden + bias[:, None]
        return hidden.T

    @property
    def num_weights(self) -> int:
        """Weights left."""
        return sum(weight.values().numel() for weight in self.weights)

    def to_bytes(self) -> bytes:
        """As a safetensors file: rows' beginnings, columns and values of each layer, and biases."""
        tensors: dict[str, Tensor] = {}
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            tensors |= {
                f"{layer}.rows": weight.crow_indices().to(torch.int32),
                f"{layer}.columns": weight.col_indices().to(torch.int32),
                f"{layer}.values": weight.values(),
                f"{layer}.shape": torch.tensor(weight.shape, dtype=torch.int32),
                f"{layer}.bias": bias.contiguous(),
            }
        return save(tensors)

    @classmethod
    def read(cls, path: Path) -> SparseNetwork:
        """From a file of `to_bytes`. Raises UserError for any other."""
        try:
            if path.stat().st_size > MAX_BYTES:
                raise UserError(f"{path} is larger than a ticket can be ({MAX_BYTES >> 20} MiB)")
            tensors = load(path.read_bytes())
            weights: list[Tensor] = []
            biases: list[Tensor] = []
            while f"{len(weights)}.rows" in tensors:
                part = {
                    name: tensors[f"{len(weights)}.{name}"]
                    for name in ("rows", "columns", "values", "shape", "bias")
                }
                weights.append(
                    torch.sparse_csr_tensor(
                        part["rows"], part["columns"], part["values"],
                        tuple(part["shape"].tolist()), check_invariants=True,
                    )
                )  # fmt: skip
                biases.append(part["bias"])
            network = cls(weights, biases)
            if not weights or network(torch.zeros(1, weights[0].shape[1])).ndim != 2:
                raise ValueError("it has no layers")
        except OSError as error:
            raise UserError(f"could not read {path}: {error.strerror}") from error
        except (KeyError, RuntimeError, ValueError, safetensors.SafetensorError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"{path} is not a sparse network: {reason}") from error
        return network
