"""The reference implementations, imported in the way that works without a GPU build."""

from __future__ import annotations

from typing import Any

import torch

_OPERATORS = torch.library.Library("torchvision", "FRAGMENT")


def torchvision_models() -> Any:
    """torchvision.models. Its compiled operators, which no classifier uses, need not be there."""
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            _OPERATORS.define(f"{name}(Tensor dets, Tensor scores, float threshold) -> Tensor")
    import torchvision

    return torchvision.models


def timm() -> Any:
    """timm, which imports torchvision."""
    torchvision_models()
    import timm as library

    return library
