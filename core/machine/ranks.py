"""Several processes that train one network together, as `torchrun` starts them.

Each has a share of the lanes and of every batch; their gradients are averaged, so their weights
stay equal. The network itself is not wrapped. A process knows its rank from the environment; alone,
every function here gives back what it was given, and torch.distributed is not imported.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from core.config import flag_of
from core.errors import UserError

if TYPE_CHECKING:
    from torch import nn

T = TypeVar("T")
LONGEST_WAIT = timedelta(days=1)
"""For the others: while one evaluates they wait. One that ends is noticed at once."""
ENDED = "another process of this run ended; nothing was saved after the last checkpoint"


class _Group:
    """Whether what is said here reaches the others, and how often they have met."""

    joined = False
    meetings = 0


# ------------------------------------------------------------------ who is who


def count() -> int:
    """How many processes train together; 1 where torchrun did not start this one."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "MASTER_ADDR" in os.environ else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return int(os.environ.get("RANK", "0")) if count() > 1 else 0


def on_this_machine() -> int:
    """How many of them share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if count() > 1 else 1


def leads() -> bool:
    """Whether this is the one that writes the run folder and talks to the user."""
    return rank() == 0


def share(joint: int, name: str) -> int:
    """This process's part of a number. Raises UserError where it cannot be split evenly."""
    if joint % count():
        raise UserError(
            f"{flag_of(name)} {joint} cannot be split evenly over {count()} processes; choose a "
            f"multiple of {count()}"
        )
    return joint // count()


def own_seed(seed: int) -> int:
    """A seed that the other processes do not have; the first one keeps the run's."""
    if leads():
        return seed
    from core.seeds import derived_seed

    return derived_seed(seed, "rank", rank())


def own_options(config: Any, *names: str) -> Any:
    """An agent's options for this process: its share of the numbers named, a seed of its own.

    Raises:
        UserError: a number cannot be split evenly.
    """
    shares = {name: share(getattr(config, name), name) for name in names}
    return replace(config, run=replace(config.run, seed=own_seed(config.run.seed)), **shares)


def own_folder(folder: Path) -> Path:
    """Where this process keeps what it alone reads."""
    return folder / f"rank_{rank()}" if count() > 1 else folder


def command(arguments: str, processes: int) -> str:
    """How a command of ours is started with so many processes."""
    start = "tengen" if processes == 1 else f"torchrun --nproc-per-node {processes} -m tengen"
    return f"{start} {arguments}"


# ------------------------------------------------------------------ together


@contextmanager
def joined() -> Iterator[None]:
    """Meet the others, and stay together for this block; within another such block, do nothing.

    Of the errors that then end the processes the first is told to the user; the others have
    ``told`` set.

    Raises:
        UserError: they cannot be met.
    """
    if count() == 1 or _Group.joined:
        yield
        return
    import torch
    from torch import distributed
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    local = int(os.environ.get("LOCAL_RANK", "0"))
    if local < torch.cuda.device_count():
        torch.cuda.set_device(local)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        store, own, size = next(rendezvous("env://", timeout=LONGEST_WAIT))
        _Group.meetings += 1  # the addresses of an earlier meeting may be in the store still
        store = PrefixStore(f"tengen {_Group.meetings}", store)
        distributed.init_process_group(
            backend, store=store, rank=own, world_size=size, timeout=LONGEST_WAIT
        )
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"the {count()} processes cannot meet ({' '.join(str(error).split())[:200]}); start "
            f"them with: torchrun --nproc-per-node N train.py ..."
        ) from error
    _Group.joined = True
    try:
        yield
    except UserError as error:
        with suppress(RuntimeError):  # the store is gone with the process that held it
            error.told = store.add("failed", 1) > 1
        raise
    except Exception:
        with suppress(RuntimeError):
            store.add("failed", 1)
        raise
    finally:
        _Group.joined = False
        with suppress(RuntimeError):
            distributed.destroy_process_group()


@contextmanager
def _exchange() -> Iterator[Any]:
    """Gives torch.distributed. Raises UserError where another process has ended."""
    from torch import distributed

    try:
        yield distributed
    except RuntimeError as error:
        raise UserError(ENDED) from error


def led(make: Callable[[], T]) -> T:
    """What the first process makes, alone; the others wait for it, and have a copy."""
    if not _Group.joined:
        return make()
    made: list[Any] = [None]
    if leads():
        _Group.joined = False  # the others do not learn meanwhile
        try:
            made = [make()]
        finally:
            _Group.joined = True
    with _exchange() as distributed:
        distributed.broadcast_object_list(made)
    result: T = made[0]
    return result


def all_of(value: T) -> list[T]:
    """What every process has, by rank."""
    if not _Group.joined:
        return [value]
    values: list[Any] = [None] * count()
    with _exchange() as distributed:
        distributed.all_gather_object(values, value)
    return values


def sums(*numbers: float) -> list[int]:
    """Whole numbers added up over the processes; True counts as 1."""
    if not _Group.joined:
        return [int(number) for number in numbers]
    import torch

    total = torch.tensor(numbers, dtype=torch.int64)
    with _exchange() as distributed:
        distributed.all_reduce(total)
    return total.tolist()  # type: ignore[no-any-return]


def everywhere(holds: bool) -> bool:
    """Whether something holds in every process."""
    return holds if not _Group.joined else sums(holds)[0] == count()


def means(values: dict[str, float]) -> dict[str, float]:
    """Metrics by name, averaged over the processes that have them."""
    found = all_of(values)
    if len(found) == 1:
        return values
    names = {name: None for metrics in found for name in metrics}
    known = {name: [metrics[name] for metrics in found if name in metrics] for name in names}
    return {name: sum(numbers) / len(numbers) for name, numbers in known.items()}


# ------------------------------------------------------------------ one network


def begin_equal(network: nn.Module) -> None:
    """Give all processes the first one's weights."""
    if not _Group.joined:
        return
    with _exchange() as distributed:
        for tensor in network.state_dict().values():
            dense = tensor.contiguous()
            distributed.broadcast(dense, 0)
            tensor.copy_(dense)


def require_equal(network: nn.Module) -> None:
    """Compare the weights that are learned over the processes, by their checksums.

    Raises:
        UserError: they differ.
    """
    if not _Group.joined:
        return
    import torch

    checksum = 0
    for parameter in network.parameters():
        flat = parameter.detach().cpu().reshape(-1).view(torch.uint8)
        checksum = zlib.crc32(flat.numpy().tobytes(), checksum)
    if len(set(all_of(checksum))) > 1:
        raise UserError("the processes' weights are no longer equal: go on from a checkpoint")


def average_gradients(parameters: Iterable[nn.Parameter], weight: float) -> None:
    """Average the gradients over the processes, in one exchange.

    Args:
        parameters: of the network; those without a gradient here count as 0, and stay without one
            where no process has one.
        weight: how much this process's batch counts, such as its size.
    """
    if not _Group.joined:
        return
    import torch

    learned = [p for p in parameters if p.requires_grad]
    counts = torch.full((len(learned) + 1,), float(weight), device=learned[0].device)
    pieces = []
    for index, parameter in enumerate(learned):
        if parameter.grad is None:
            counts[index] = 0.0
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        pieces.append(gradient.reshape(-1) * weight)
    flat = torch.cat([*pieces, counts])
    with _exchange() as distributed:
        distributed.all_reduce(flat)
    *averaged, counts = torch.split(flat / flat[-1], [*(p.numel() for p in learned), len(counts)])
    for index, (parameter, gradient) in enumerate(zip(learned, averaged, strict=True)):
        if parameter.grad is None:
            if not float(counts[index]):
                continue
            parameter.grad = torch.empty_like(parameter)
        parameter.grad.copy_(gradient.view(parameter.shape))
