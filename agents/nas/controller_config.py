"""Options of the controller. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.config import locked, warn


@dataclass(frozen=True)
class ControllerConfig:
    """The policy that makes the decisions, and how it learns. Defaults: Zoph and Le 2017."""

    policy: Literal["lstm", "table"] = locked("lstm")
    """lstm remembers what it decided; table has a softmax for each decision, alone."""
    algorithm: Literal["reinforce", "ppo"] = locked("reinforce")
    """reinforce takes one step for each batch; ppo several, with clipped ratios."""
    learning_rate: float = warn(6e-4, over=0)
    """Of Adam. Tables need about 0.1 where a search ends after a few hundred designs."""
    beta2: float = warn(0.999, at_least=0, under=1)
    """Decay of Adam's second moment, a step."""
    baseline_decay: float = warn(0.9, at_least=0, under=1)
    """Of the moving average of rewards that a reward is compared with, a design."""
    ranks: float = warn(0.0, at_least=0)
    """0: rewards count as they are. Otherwise a reward counts as the share of those told so far
    that are lower, to this power: a failed design then does not drown how good ones differ."""
    entropy: float = warn(0.0, at_least=0)
    """Weight of the bonus for undecided softmaxes, in rewards (or ranks) a nat."""
    temperature: float = locked(1.0, over=0)
    """Logits are divided by it; ENAS has 5 in places."""
    tanh_constant: float = locked(0.0, at_least=0)
    """Logits are squashed to plus and minus this; 0: they are not. ENAS has 1.1 to 2.5."""
    skip_rate: float = warn(0.4, over=0, under=1)
    """Share of the layers before that ENAS would have as inputs."""
    skip_weight: float = warn(0.0, at_least=0)
    """Weight of the divergence from that share; 0.8 in ENAS."""
    hidden: int = locked(35, at_least=1)
    """Units of each layer of the LSTM, and width of its embeddings."""
    layers: int = locked(2, at_least=1)
    """Of the LSTM."""
    tied: bool = locked(True)
    """Decisions of one kind share embedding and softmax in the LSTM, as in ENAS. With one for each
    decision it learns what each should be within a few hundred designs, nearly as a table does."""
    initial_range: float = locked(0.08, over=0)
    """All weights of the LSTM begin uniform between plus and minus this."""
    ppo_clip: float = warn(0.2, over=0)
    """Ratios of probabilities beyond 1 plus or minus this are not pushed further."""
    ppo_steps: int = warn(4, at_least=1)
    """Steps that PPO takes for each batch."""
    ppo_batches: int = warn(1, at_least=1)
    """Batches told last that a step of PPO learns from."""
    deepen_every: int = locked(0, at_least=0)
    """Designs after which a space that can grow does so: 1,600 in Zoph and Le 2017; 0: full depth
    from the start."""
