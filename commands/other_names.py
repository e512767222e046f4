"""What other suites call our options: stable-baselines3, rl-zoo3, CleanRL, Dopamine, RLlib."""

from __future__ import annotations

from collections.abc import Iterable

from core.errors import did_you_mean

OURS = {
    "learning-rate": "lr alpha step-size",
    "discount": "gamma",
    "gamma": "discount",
    "env": "env-id environment env-name game gym-id task",
    "total-steps": "total-timesteps n-timesteps timesteps max-steps steps train-steps",
    "initial": "start-from pretrained load-model trained-agent",
    "lanes": "num-envs n-envs num-workers envs",
    "replay-capacity": "buffer-size memory-size replay-size replay-buffer-size",
    "buffer-size": "replay-capacity memory-size",
    "warmup-steps": "learning-starts min-replay-history",
    "learning-starts": "warmup-steps",
    "update-every": "train-freq train-frequency update-period",
    "train-freq": "update-every train-frequency",
    "target-every": "target-update-interval target-network-frequency target-update-period",
    "target-update-interval": "target-every target-network-frequency",
    "epsilon-start": "exploration-initial-eps start-e",
    "epsilon-end": "exploration-final-eps end-e epsilon-train",
    "epsilon-decay-steps": "exploration-fraction epsilon-decay epsilon-decay-period",
    "evaluation-epsilon": "eval-epsilon epsilon-eval",
    "optimiser-epsilon": "adam-eps adam-epsilon",
    "max-gradient-norm": "max-grad-norm clip-grad-norm grad-clip",
    "max-grad-norm": "max-gradient-norm",
    "entropy-weight": "ent-coef entropy-coef entropy-coefficient",
    "value-weight": "vf-coef value-coef",
    "n-step": "n-steps multi-step",
    "dueling": "duelling",
    "double": "double-q ddqn",
    "prioritised": "prioritized per prioritized-replay prioritised-replay",
    "priority-exponent": "priority-alpha per-alpha prioritized-replay-alpha",
    "priority-beta": "per-beta prioritized-replay-beta",
    "distribution": "distributional",
    "atoms": "num-atoms n-atoms",
    "quantiles": "n-quantiles num-quantiles",
    "lowest-return": "v-min vmin",
    "highest-return": "v-max vmax",
    "noisy": "noisy-net noisy-nets noisy-networks",
    "noisy-sigma": "sigma-0 sigma-init",
    "evaluate-every": "eval-freq eval-every eval-interval",
    "evaluate-episodes": "eval-episodes n-eval-episodes",
    "checkpoint-seconds": "save-freq checkpoint-freq save-every",
    "runs": "logdir log-dir log-folder tensorboard-log output-dir save-path",
    "device": "cuda gpu",
    "config": "conf-file config-file",
    "video": "capture-video record",
    "track": "wandb use-wandb wandb-log",
    "episodes": "n-episodes num-episodes eval-episodes n-eval-episodes",
}
"""Our option to the names that it has elsewhere."""


def nearest_option(flag: str, known: Iterable[str]) -> str:
    """Return "; did you mean '--learning-rate'?" for a flag such as '--lr', or ''."""
    flags = set(known)
    name = flag.removeprefix("--")
    for ours, others in OURS.items():
        if name in others.split() and f"--{ours}" in flags:
            return f"; did you mean '--{ours}'?"
    return did_you_mean(flag, flags)
