"""One optimiser step, in whatever arithmetic was chosen for this machine.

The learner owns a network and its optimiser. An agent hands it a loss as a function; the learner
runs it under autocast, steps, guards against NaN, and keeps the metrics on the device until
somebody asks, so that a GPU is never waited for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import UserError
from core.machine import ranks
from core.recorded import Recorded

NORM_EVERY = 50
"""Without clipping, the gradient norm is only for the log: measured once in so many updates."""

GRADIENT_NORM = "gradient_norm"

Loss = Callable[..., tuple[Tensor, dict[str, Tensor]]]
"""Computes (scalar loss, scalar metrics) from the inputs of an update."""
Differentiated = tuple[dict[str, Tensor], Sequence[Tensor | None]]
"""Metrics, and the gradient of every parameter."""


DIVERGED = (
    "training diverged; nothing was saved after the last checkpoint. Resume from it with a lower "
    "--learning-rate, or with --precision fp32"
)


class DivergedError(UserError):
    """The loss or a weight is no longer a finite number."""


@dataclass(frozen=True)
class Arithmetic:
    """How tensors are computed: chosen by the start-up probe or by the user."""

    device: str = "cpu"
    threads: int = 1
    bf16: bool = False
    channels_last: bool = True
    compile: bool = False

    @property
    def options(self) -> str:
        """The options that ask for it: with them and the same seed, a run is the same run."""
        precision = "bf16" if self.bf16 else "fp32"
        compiled = " --compile" if self.compile else ""
        return f"--device {self.device} --threads {self.threads} --precision {precision}{compiled}"

    def state_dict(self) -> dict[str, Any]:
        """As plain values, for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Arithmetic:
        """From ``state_dict``. Raises UserError for anything else."""
        kinds = {name: type(value) for name, value in asdict(cls()).items()}
        if {name: type(value) for name, value in state.items()} != kinds:
            raise UserError(f"the checkpoint's arithmetic cannot be read: {state!r:.200}")
        return cls(**state)

    def autocast(self) -> torch.autocast:
        """The context in which forward passes run."""
        kind = torch.device(self.device).type
        return torch.autocast(kind, dtype=torch.bfloat16, enabled=self.bf16)

    @property
    def records(self) -> bool:
        """Whether work is recorded: see `core.recorded`. A compiler makes kernels of its own, and
        several processes exchange gradients in between."""
        on_gpu = torch.device(self.device).type == "cuda"
        return on_gpu and not self.compile and ranks.count() == 1

    def place(self, network: nn.Module) -> nn.Module:
        """Move a network to the device and its convolutions to the memory layout; compile it."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        network.to(device=self.device).to(memory_format=layout)  # type: ignore[call-overload]
        if self.compile:
            network.compile()  # type: ignore[no-untyped-call]
        return network

    def tensor(self, array: Any) -> Tensor:
        """A numpy array as a tensor on the device; on the CPU the two share memory.

        A GPU is not waited for: the copy leaves from pinned memory.
        """
        tensor = torch.as_tensor(array)
        if torch.device(self.device).type == "cuda" and tensor.device.type == "cpu":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)


class Learner:
    """A network, its optimiser, and the arithmetic they use."""

    def __init__(
        self,
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
        arithmetic: Arithmetic,
        max_gradient_norm: float = 0.0,
    ) -> None:
        """``max_gradient_norm`` 0 means no clipping. Several processes begin with the weights of
        the first."""
        ranks.begin_equal(network)
        self.network = network
        self.optimiser = optimiser
        self.arithmetic = arithmetic
        self.max_gradient_norm = max_gradient_norm
        self.updates = 0
        self._recorded: dict[Loss, Recorded[Differentiated]] = {}
        self._sums: dict[tuple[str, ...], Tensor] = {}
        self._counts: dict[tuple[str, ...], int] = {}

    def update(self, loss_function: Loss, *inputs: Tensor, weight: float = 1.0) -> None:
        """Take one optimiser step.

        Args:
            loss_function: the mean over a batch.
            inputs: what it is called with. With inputs it must be the same work every time: on a
                GPU it is recorded, see `core.recorded`.
            weight: how much the batch counts beside those of other processes.

        Raises:
            DivergedError: the loss is NaN or infinite. On a GPU this shows when metrics are
                drained, or in `require_finite` before a checkpoint.
        """
        if inputs and self.arithmetic.records:
            if loss_function not in self._recorded:
                work = partial(self._differentiate, loss_function)
                self._recorded[loss_function] = Recorded(
                    work, self.arithmetic, self.network.buffers
                )
            metrics, gradients = self._recorded[loss_function](*inputs)
            for parameter, gradient in zip(self.network.parameters(), gradients, strict=True):
                parameter.grad = gradient
        else:
            metrics, gradients = self._differentiate(loss_function, *inputs, weight=weight)
        if not self.max_gradient_norm and self.updates % NORM_EVERY == 0:
            norm = nn.utils.get_total_norm([g for g in gradients if g is not None])
            metrics = {**metrics, GRADIENT_NORM: norm}
        self.optimiser.step()
        self.updates += 1
        self._record(metrics)

    def _differentiate(
        self, loss_function: Loss, *inputs: Tensor, weight: float = 1.0
    ) -> Differentiated:
        """Gradients, clipped, and what was measured."""
        with self.arithmetic.autocast():
            loss, metrics = loss_function(*inputs)
        loss = loss.float()
        if loss.device.type == "cpu":
            self._require_finite(float(loss.detach()))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        parameters = list(self.network.parameters())
        ranks.average_gradients(parameters, weight)
        metrics = {"loss": loss.detach(), **metrics}
        if self.max_gradient_norm > 0:
            norm = nn.utils.clip_grad_norm_(parameters, self.max_gradient_norm)
            metrics[GRADIENT_NORM] = norm
        return metrics, [parameter.grad for parameter in parameters]

    def _record(self, metrics: dict[str, Tensor]) -> None:
        """Keep sums, or maxima, by groups of names: each takes one kernel."""
        groups = defaultdict[str, list[str]](list)
        for name in metrics:
            kind = "max" if name.endswith("_max") else "norm" if name == GRADIENT_NORM else "mean"
            groups[kind].append(name)
        for kind, names in groups.items():
            key = tuple(names)
            values = torch.stack([metrics[name].detach() for name in names])
            held = self._sums.get(key)
            if held is None:
                self._sums[key] = values
            else:
                self._sums[key] = torch.maximum(held, values) if kind == "max" else held + values
            self._counts[key] = 1 if kind == "max" else self._counts.get(key, 0) + 1

    def drain_metrics(self) -> dict[str, float]:
        """Means (for names ending in ``_max``: maxima) since the last call.

        Raises:
            DivergedError: the loss is NaN or infinite.
        """
        totals, counts = defaultdict[str, float](float), defaultdict[str, int](int)
        for key, values in self._sums.items():
            for name, value in zip(key, values.tolist(), strict=True):
                largest = name.endswith("_max") and name in totals
                totals[name] = max(totals[name], value) if largest else totals[name] + value
                counts[name] = 1 if name.endswith("_max") else counts[name] + self._counts[key]
        drained = {name: total / counts[name] for name, total in totals.items()}
        self._sums, self._counts = {}, {}
        if "loss" in drained:
            self._require_finite(drained["loss"])
        return drained

    def _require_finite(self, loss: float) -> None:
        if loss - loss != 0:  # NaN and infinities
            raise DivergedError(f"the loss became {loss} at update {self.updates + 1}: {DIVERGED}")

    @property
    def learning_rate(self) -> float:
        """The optimiser's present learning rate."""
        return float(self.optimiser.param_groups[0]["lr"])

    def set_learning_rate(self, learning_rate: float) -> None:
        """Change the learning rate, as a resume with another value does."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimiser state and the number of updates.

        Raises UserError where the weights of several processes have become different."""
        ranks.require_equal(self.network)
        return {
            "network": dict(self.network.state_dict()),
            "optimiser": self.optimiser.state_dict(),
            "updates": self.updates,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``.

        Raises:
            UserError: the weights belong to another network.
        """
        load_weights(self.network, state["network"])
        self.optimiser.load_state_dict(dict(state["optimiser"]))
        self._match_layouts()
        self.updates = int(state["updates"])

    def _match_layouts(self) -> None:
        """Copy the optimiser's moments into the memory layout of their parameters.

        A checkpoint keeps no layout, and torch's fused Adam on the CPU pairs elements by their
        place in memory: contiguous moments of a channels_last weight would be silently scrambled.
        """
        for parameter, moments in self.optimiser.state.items():
            for name, moment in moments.items():
                if isinstance(moment, Tensor) and moment.shape == parameter.shape:
                    moments[name] = torch.empty_like(parameter, dtype=moment.dtype).copy_(moment)


def load_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights into a network, strictly.

    Raises:
        UserError: a tensor is missing, left over, or has another shape; names the first.
    """
    wanted = network.state_dict()
    for name in [*wanted, *weights]:
        if name not in weights or name not in wanted:
            where = "lacks" if name not in weights else "has an unknown"
            raise UserError(f"these weights belong to another network: the file {where} {name!r}")
        if wanted[name].shape != weights[name].shape:
            raise UserError(
                f"these weights belong to another network: {name!r} has shape "
                f"{tuple(weights[name].shape)}, expected {tuple(wanted[name].shape)}"
            )
    network.load_state_dict(dict(weights))


def require_finite(state: Any, name: str = "") -> None:
    """Check all tensors of an agent's state: its weights and what its optimiser remembers.

    A finite loss can make infinite weights, and a GPU tells of its loss late.

    Args:
        state: nested dicts, lists and tuples; other leaves than torch tensors are passed over.
        name: where in the state this is.

    Raises:
        DivergedError: names the first tensor that holds NaN or an infinity.
    """
    if isinstance(state, Mapping):
        for key, value in state.items():
            require_finite(value, f"{name}.{key}" if name else str(key))
    elif isinstance(state, (list, tuple)):
        for index, value in enumerate(state):
            require_finite(value, f"{name}.{index}")
    elif isinstance(state, Tensor) and not bool(torch.isfinite(state).all()):
        raise DivergedError(f"{name} holds NaN or infinities: {DIVERGED}")
