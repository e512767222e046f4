"""Activation functions by name.

relu         max(0, x)                              Nair & Hinton 2010
leaky_relu   x if x > 0 else 0.01 x                 Maas et al. 2013
softsign     x / (1 + |x|)                          Bergstra et al. 2009; Glorot & Bengio 2010
elu          x if x > 0 else e^x - 1                Clevert et al. 2016, arXiv 1511.07289
selu         1.0507 elu(x, alpha = 1.6733)          Klambauer et al. 2017, arXiv 1706.02515
gelu         x Phi(x)                               Hendrycks & Gimpel 2016, arXiv 1606.08415
gelu_tanh    0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))   the same, section 2; GPT's
swish        x sigmoid(x)                           Ramachandran et al. 2017, arXiv 1710.05941
mish         x tanh(log(1 + e^x))                   Misra 2019, arXiv 1908.08681
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from core.errors import UserError, did_you_mean

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "softsign": nn.Softsign,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "gelu_tanh": partial(nn.GELU, approximate="tanh"),
    "swish": nn.SiLU,
    "mish": nn.Mish,
}


def activation(name: str) -> nn.Module:
    """A module that applies the function elementwise.

    Raises:
        UserError: unknown name; says the nearest one.
    """
    if name not in ACTIVATIONS:
        raise UserError(
            f"there is no activation {name!r}{did_you_mean(name, ACTIVATIONS)} "
            f"(known: {', '.join(ACTIVATIONS)})"
        )
    return ACTIVATIONS[name]()
