"""Agents and supervised tasks by name, as strings: nothing is imported before one is chosen."""

from __future__ import annotations

import importlib
import shlex
from dataclasses import dataclass
from typing import Any, Literal

ScoredBy = Literal["episodes", "matches", "test split"]


@dataclass(frozen=True)
class AgentEntry:
    """Where an agent's parts are."""

    name: str
    summary: str
    config: str
    """'module:Class' of its options; the module also holds PRESETS and DEFAULT_PRESET, and may
    hold preset_for(env), the preset where none is named, and environment_settings(env), which hold
    under every preset that says nothing else."""
    build_module: str
    """Module with build and describe, and what scoring needs, see `scored_by`."""
    start: str | None = None
    """'module:function' that trains, for agents with a loop of their own."""
    processes: bool = False
    """Whether several processes can train one together (`core/machine/ranks.py`)."""
    scored_by: ScoredBy = "episodes"
    """episodes: played by the policy of the module's build_policy. matches: against other players.
    test split: held-out examples, by the module's `score`."""
    steps: str = "examples"
    """What those are that are scored on a test split."""
    exports: str = ""
    """'module:function' that writes what `tengen export` does; '' where that is the weights."""

    @property
    def scored_parts(self) -> list[str]:
        """Parts of a checkpoint that scoring needs, and that an export keeps."""
        return ["network", "problem"] if self.scored_by == "test split" else ["network"]

    def advice(self, path: object, env: str) -> str:
        """How to score a run of this agent. A film of an Atari game is sure to be possible."""
        path = shlex.quote(str(path))
        if self.scored_by == "matches":
            return f"tengen match GAME --first {path} --second uct"
        video = " --video" if env.startswith("ALE/") else ""
        return f"tengen evaluate {path}{video}"


AGENTS: dict[str, AgentEntry] = {
    entry.name: entry
    for entry in (
        AgentEntry(
            "dqn",
            "deep Q-learning, on Atari or anything with discrete actions",
            "agents.dqn.config:DQNConfig",
            "agents.dqn.build",
            processes=True,
        ),
        AgentEntry(
            "pqn",
            "Q-learning on many lanes without replay or target network, with LayerNorm",
            "agents.pqn.config:PQNConfig",
            "agents.pqn.build",
        ),
        AgentEntry(
            "zero",
            "board games from self-play with tree search: Go and its smaller cousins",
            "agents.zero.config:ZeroConfig",
            "agents.zero.build",
            scored_by="matches",
        ),
        AgentEntry(
            "go-policy",
            "AlphaGo's supervised policy: the next move, learned from games of Go in SGF",
            "agents.alphago.policy_config:GoPolicyConfig",
            "agents.alphago.policy_build",
            processes=True,
            scored_by="test split",
        ),
        AgentEntry(
            "go-rl",
            "AlphaGo's reinforced policy: a policy of Go improved in games against its past",
            "agents.alphago.rl_config:GoRLConfig",
            "agents.alphago.rl_build",
            scored_by="matches",
        ),
        AgentEntry(
            "go-value",
            "AlphaGo's value network: who wins from a position, learned from games of its policies",
            "agents.alphago.value_config:GoValueConfig",
            "agents.alphago.value_build",
            scored_by="test split",
        ),
        AgentEntry(
            "reinforce",
            "policy gradient from whole episodes, for classic control",
            "agents.reinforce.config:ReinforceConfig",
            "agents.reinforce.build",
            processes=True,
        ),
        AgentEntry(
            "q-learning",
            "a table of exact values, for worlds with numbered states",
            "agents.tabular.config:TabularConfig",
            "agents.tabular.build",
        ),
        AgentEntry(
            "nas",
            "neural architecture search: a controller that designs networks, and its rivals",
            "agents.nas.config:NASConfig",
            "agents.nas.build",
            scored_by="test split",
            steps="designs",
            exports="agents.nas.outcome:export_best",
        ),
        AgentEntry(
            "sb3-dqn",
            "yardstick: stable-baselines3's DQN on our lanes",
            "agents.baselines.dqn_presets:SB3DQNConfig",
            "agents.baselines.build",
            "agents.baselines.train:start",
        ),
        AgentEntry(
            "sb3-ppo",
            "yardstick: stable-baselines3's PPO on our lanes",
            "agents.baselines.ppo_presets:SB3PPOConfig",
            "agents.baselines.build",
            "agents.baselines.train:start",
        ),
        AgentEntry(
            "classify",
            "images to classes: Fashion-MNIST, digits, or a folder of your own",
            "tasks.classify.config:ClassifyConfig",
            "tasks.classify.build",
            processes=True,
            scored_by="test split",
        ),
        AgentEntry(
            "lm",
            "language models: the next token of Jane Austen's novels, or of any text",
            "tasks.lm.config:LanguageModelConfig",
            "tasks.lm.build",
            processes=True,
            scored_by="test split",
        ),
        AgentEntry(
            "mlm",
            "masked language models: hidden tokens of a text, as BERT learns",
            "tasks.mlm.config:MaskedConfig",
            "tasks.mlm.build",
            processes=True,
            scored_by="test split",
        ),
        AgentEntry(
            "label",
            "texts to classes: a masked language model, fine-tuned on texts of your own",
            "tasks.label.config:LabelConfig",
            "tasks.label.build",
            processes=True,
            scored_by="test split",
        ),
        AgentEntry(
            "translate",
            "translation between two languages, from pairs of sentences",
            "tasks.translate.config:TranslateConfig",
            "tasks.translate.build",
            processes=True,
            scored_by="test split",
        ),
        AgentEntry(
            "words",
            "word vectors: word2vec and GloVe, from Jane Austen's novels or any text",
            "tasks.words.config:WordsConfig",
            "tasks.words.build",
            scored_by="test split",
            steps="words",
        ),
        AgentEntry(
            "gan",
            "generators against critics: GAN, WGAN, StyleGAN, on points of the plane or on images",
            "tasks.gan.config:GANConfig",
            "tasks.gan.build",
            scored_by="test split",
            steps="updates",
        ),
    )
}


def load_object(path: str) -> Any:
    """Import 'module:name', or a whole module where there is no colon."""
    module, _, name = path.partition(":")
    loaded = importlib.import_module(module)
    return getattr(loaded, name) if name else loaded
