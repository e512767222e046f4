"""Initial weights by name: variances that keep a signal's size through many layers.

xavier_uniform, xavier_normal      Var w = 2 / (fan_in + fan_out)    Glorot & Bengio 2010
kaiming_uniform, kaiming_normal    Var w = 2 / fan_in                He et al. 2015, 1502.01852
lecun_normal                       Var w = 1 / fan_in                LeCun et al. 1998; for SELU
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from core.errors import UserError, did_you_mean

INITIALISATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "xavier_uniform": nn.init.xavier_uniform_,
    "xavier_normal": nn.init.xavier_normal_,
    "kaiming_uniform": partial(nn.init.kaiming_uniform_, nonlinearity="relu"),
    "kaiming_normal": partial(nn.init.kaiming_normal_, nonlinearity="relu"),
    "lecun_normal": partial(nn.init.kaiming_normal_, nonlinearity="linear"),
}


def initialise(network: nn.Module, name: str) -> nn.Module:
    """Draw the weights of all linear and convolutional layers anew; biases become zero.

    Raises:
        UserError: unknown name; says the nearest one.
    """
    if name not in INITIALISATIONS:
        raise UserError(
            f"there is no initialisation {name!r}{did_you_mean(name, INITIALISATIONS)} "
            f"(known: {', '.join(INITIALISATIONS)})"
        )
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
            INITIALISATIONS[name](module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network
