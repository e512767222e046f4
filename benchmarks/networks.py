"""Milliseconds of one training step: our networks beside the reference implementations.

Both sides have the same weights, see the same batch, and are trained by SGD in fp32 without
compilation; before anything is timed they must give the same loss. Rounds alternate in one process:
ours, theirs, ours, theirs.

    resnet18, vgg11, googlenet   16 images 3x64x64, 1,000 classes     torchvision
    gpt2, bert                   16 texts of 128 tokens; 4 layers,    transformers
                                 256 wide, 1,000 tokens known

Then GPT-2 of the same size writes a text of 256 tokens, with keys and values kept and without.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if not __package__:  # started as a file: its folder, not the repository, is first on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import SkippedError, parse_options
from core.config import free
from core.machine.environment_facts import environment_facts, usable_cores
from core.machine.memory import keep_freed_memory
from networks.language import bert, gpt, gpt2
from networks.language.generate import generate
from networks.registry import build_network
from networks.weights import load_official

BATCH, SIDE, CLASSES = 16, 64, 1000
SMALL = gpt.GPTConfig(vocabulary=1000, context_length=128, width=256, layers=4, heads=4)
WRITTEN = 256
"""Tokens of the text that is sampled, the first one included."""
Name = Literal["resnet18", "vgg11", "googlenet", "gpt2", "bert"]


@dataclass(frozen=True)
class Options:
    """Time of a training step, ours and the reference implementations'; time of sampling."""

    rounds: int = free(15, at_least=1)
    """How often each is measured."""
    steps: int = free(3, at_least=1)
    """Training steps of each contender in a round, of which the median counts."""
    sampling_rounds: int = free(3, at_least=0)
    """How often a text is written with and without kept keys and values; 0 for never."""
    threads: int = 0
    """Processor threads; 0 for all cores."""
    dropout: bool = True
    """Drop as the networks' presets do, on both sides; without, nothing is dropped."""
    only: Literal["all", Name] = "all"
    """A network to measure."""
    out: str = "runs/benchmarks/networks.json"
    """Where the results go; '' for nowhere."""


@dataclass(frozen=True)
class Pair:
    """Ours and theirs with the same weights, and what each says about one batch."""

    ours: nn.Module
    theirs: nn.Module
    our_loss: Callable[[], Tensor]
    their_loss: Callable[[], Tensor]


def main() -> None:
    """Measure, print and write."""
    options = parse_options(Options)
    keep_freed_memory()
    torch.set_num_threads(options.threads or usable_cores())
    print(
        f"one training step, SGD, fp32, {torch.get_num_threads()} threads, "
        f"dropout {'on' if options.dropout else 'off'}; medians of {options.rounds} rounds\n"
    )
    print(f"  {'network':<12}{'ours ms':>10}{'theirs ms':>12}{'ratio':>8}   range of the ratio")
    results: dict[str, Any] = {}
    for name in get_args(Name) if options.only == "all" else [options.only]:
        try:
            results[name] = compare(make_pair(name, options.dropout), options)
        except (SkippedError, ImportError) as reason:
            results[name] = {"skipped": str(reason)}
            print(f"  {name:<12}skipped: {reason}")
            continue
        found = results[name]
        print(
            f"  {name:<12}{found['ours_ms']:>10,.2f}{found['theirs_ms']:>12,.2f}"
            f"{found['ratio']:>8.3f}   {found['least_ratio']:.3f} to {found['greatest_ratio']:.3f}",
            flush=True,
        )
    if options.sampling_rounds:
        results["sampling"] = sample(options.sampling_rounds)
        found = results["sampling"]
        print(
            f"\nGPT-2 of that size writes {WRITTEN} tokens: {found['kept_ms']:,.0f} ms with keys "
            f"and values kept, {found['anew_ms']:,.0f} ms without, {found['times_faster']:.1f} "
            f"times faster"
        )
    if options.out:
        write(Path(options.out), options, results)


def compare(pair: Pair, options: Options) -> dict[str, Any]:
    """Times of one network's steps. Raises SkippedError where the two are not the same network."""
    require_same_loss(pair)
    steps = [
        training_step(pair.ours, pair.our_loss),
        training_step(pair.theirs, pair.their_loss),
    ]
    for step in steps:  # the first allocate and choose kernels
        step()
        step()
    rounds: list[list[float]] = []
    for _ in range(options.rounds):
        rounds.append([
            statistics.median(milliseconds(step) for _ in range(options.steps)) for step in steps
        ])  # fmt: skip
    ours, theirs = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratios = [a / b for a, b in rounds]
    return {
        "ours_ms": ours,
        "theirs_ms": theirs,
        "ratio": ours / theirs,
        "least_ratio": min(ratios),
        "greatest_ratio": max(ratios),
        "rounds_ms": rounds,
    }


def require_same_loss(pair: Pair) -> None:
    """Raise SkippedError unless both have the same loss with nothing dropped."""
    losses = []
    for network, loss in ((pair.ours, pair.our_loss), (pair.theirs, pair.their_loss)):
        network.eval()
        with torch.no_grad():
            losses.append(float(loss()))
    if abs(losses[0] - losses[1]) > 1e-4 * abs(losses[1]):
        raise SkippedError(f"the losses differ: ours {losses[0]:.6f}, theirs {losses[1]:.6f}")


def training_step(network: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], None]:
    """Forward, backward, SGD."""
    network.train()
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-4)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        loss().backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return step


def milliseconds(work: Callable[[], object]) -> float:
    """Of one call."""
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


# ------------------------------------------------------------------ the networks


def make_pair(name: Name, dropout: bool) -> Pair:
    """Both implementations of a network. Raises ImportError where theirs is not installed."""
    torch.manual_seed(0)
    if name == "gpt2":
        return gpt2_pair(dropout)
    if name == "bert":
        return bert_pair(dropout)
    return image_pair(name, dropout)


def image_pair(name: str, dropout: bool) -> Pair:
    """torchvision's network; ours takes its weights as they are."""
    from tests.networks.reference import torchvision_models

    rates = {"vgg11": 0.5, "googlenet": 0.4}  # torchvision's GoogLeNet drops 0.2 by default
    options: dict[str, Any] = {"dropout": rates[name] if dropout else 0.0} if name in rates else {}
    ours = build_network(name, num_classes=CLASSES, **options)
    if name == "googlenet":
        options |= {"aux_logits": False, "init_weights": True}
    theirs = getattr(torchvision_models(), name)(num_classes=CLASSES, **options)
    load_official(ours, theirs.state_dict())
    images, classes = torch.randn(BATCH, 3, SIDE, SIDE), torch.randint(CLASSES, (BATCH,))
    return Pair(
        ours,
        theirs,
        lambda: F.cross_entropy(ours(images), classes),
        lambda: F.cross_entropy(theirs(images), classes),
    )


def gpt2_pair(dropout: bool) -> Pair:
    """transformers' GPT-2, without the cache that training does not need."""
    from tests.networks.reference import torchvision_models

    torchvision_models()  # which transformers imports
    from transformers import GPT2Config, GPT2LMHeadModel

    config = SMALL if dropout else replace(SMALL, dropout=0.0)
    theirs = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocabulary,
            n_positions=config.context_length,
            n_embd=config.width,
            n_layer=config.layers,
            n_head=config.heads,
            resid_pdrop=config.dropout,
            embd_pdrop=config.dropout,
            attn_pdrop=config.dropout,
            use_cache=False,
            bos_token_id=None,
            eos_token_id=None,
        )
    )
    ours = gpt2.build(config)
    load_official(ours, theirs.state_dict(), gpt.rename, gpt.TRANSPOSED)
    tokens = random_tokens()
    following = tokens[:, 1:].flatten()
    return Pair(
        ours,
        theirs,
        lambda: F.cross_entropy(ours(tokens)[0][:, :-1].flatten(0, 1), following),
        lambda: F.cross_entropy(theirs(tokens).logits[:, :-1].flatten(0, 1), following),
    )


def bert_pair(dropout: bool) -> Pair:
    """transformers' BERT, filling in every seventh token; no padding."""
    from tests.networks.reference import torchvision_models

    torchvision_models()  # which transformers imports
    from transformers import BertConfig, BertForMaskedLM

    rate = SMALL.dropout if dropout else 0.0
    config = bert.BertConfig(
        SMALL.vocabulary, SMALL.context_length, SMALL.width, SMALL.layers, SMALL.heads, dropout=rate
    )
    theirs = BertForMaskedLM(
        BertConfig(
            vocab_size=config.vocabulary,
            max_position_embeddings=config.context_length,
            hidden_size=config.width,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            intermediate_size=4 * config.width,
            hidden_dropout_prob=rate,
            attention_probs_dropout_prob=rate,
        )
    )
    ours = bert.build(config)
    load_official(ours, theirs.state_dict(), bert.rename)
    tokens = random_tokens()
    hidden = torch.arange(tokens.shape[1]) % 7 == 0
    wanted = tokens[:, hidden].flatten()
    shown = tokens.masked_fill(hidden, 0)
    return Pair(
        ours,
        theirs,
        lambda: F.cross_entropy(ours(shown)[:, hidden].flatten(0, 1), wanted),
        lambda: F.cross_entropy(theirs(shown).logits[:, hidden].flatten(0, 1), wanted),
    )


def random_tokens() -> Tensor:
    """A batch of full contexts, int64 [B, T]; token 0 stands for hidden ones and padding."""
    return torch.randint(1, SMALL.vocabulary, (BATCH, SMALL.context_length))


def sample(rounds: int) -> dict[str, Any]:
    """Times of writing one text, with keys and values kept and with all read anew."""
    torch.manual_seed(0)
    model = gpt2.build(replace(SMALL, context_length=WRITTEN)).eval()
    assert isinstance(model, gpt.GPT)
    prompt = torch.ones(1, 1, dtype=torch.int64)
    times: dict[bool, list[float]] = {True: [], False: []}
    for number in range(rounds + 1):
        for keep_state, found in times.items():
            write_text = partial(generate, model, prompt, WRITTEN - 1, keep_state=keep_state)
            took = milliseconds(write_text)
            found += [took] if number else []  # the first round warms up
    kept, anew = statistics.median(times[True]), statistics.median(times[False])
    return {
        "kept_ms": kept,
        "anew_ms": anew,
        "times_faster": anew / kept,
        "rounds_ms": [times[True], times[False]],
    }


def write(path: Path, options: Options, results: dict[str, Any]) -> None:
    """Everything as JSON, with what it was measured on."""
    content = {
        "title": f"one training step, batches of {BATCH}, SGD, fp32",
        "threads": torch.get_num_threads(),
        "dropout": options.dropout,
        "results": results,
        "environment": environment_facts(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten to {path}")


if __name__ == "__main__":
    main()
