"""Scores that others published: what random play and a human score, and what agents reached.

Random and human scores are those of 57 games with up to 30 no-ops and 30 minutes (Wang et al.
2016, arXiv 1511.06581), as in google-deepmind/dqn_zoo; Rainbow and Dopamine's reports use the same.
The human column of Mnih et al. 2015 is another one and is not used.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedScore:
    """One agent's mean raw score in one game."""

    label: str
    source: str
    protocol: str
    """Rules under which it was reached; scores under other rules cannot be compared closely."""
    agent_steps: int
    yardstick: bool
    """Shown beside runs under any protocol."""
    score: float


def random_and_human(game: str) -> tuple[float, float] | None:
    """Mean scores of random play and of a human, None for a game without known scores.

    Args:
        game: as in the id: 'SpaceInvaders' of 'ALE/SpaceInvaders-v5'.
    """
    return RANDOM_AND_HUMAN.get(game)


def published(game: str) -> tuple[PublishedScore, ...]:
    """What agents are known to have reached in a game, in order of publication."""
    return tuple(
        PublishedScore(label, source, protocol, steps, yardstick, scores[game])
        for label, source, protocol, steps, yardstick, scores in PUBLISHED
        if game in scores
    )


RANDOM_AND_HUMAN: dict[str, tuple[float, float]] = {
    "Alien": (227.8, 7127.7),
    "Amidar": (5.8, 1719.5),
    "Assault": (222.4, 742.0),
    "Asterix": (210.0, 8503.3),
    "Asteroids": (719.1, 47388.7),
    "Atlantis": (12850.0, 29028.1),
    "BankHeist": (14.2, 753.1),
    "BattleZone": (2360.0, 37187.5),
    "BeamRider": (363.9, 16926.5),
    "Berzerk": (123.7, 2630.4),
    "Bowling": (23.1, 160.7),
    "Boxing": (0.1, 12.1),
    "Breakout": (1.7, 30.5),
    "Centipede": (2090.9, 12017.0),
    "ChopperCommand": (811.0, 7387.8),
    "CrazyClimber": (10780.5, 35829.4),
    "Defender": (2874.5, 18688.9),
    "DemonAttack": (152.1, 1971.0),
    "DoubleDunk": (-18.6, -16.4),
    "Enduro": (0.0, 860.5),
    "FishingDerby": (-91.7, -38.7),
    "Freeway": (0.0, 29.6),
    "Frostbite": (65.2, 4334.7),
    "Gopher": (257.6, 2412.5),
    "Gravitar": (173.0, 3351.4),
    "Hero": (1027.0, 30826.4),
    "IceHockey": (-11.2, 0.9),
    "Jamesbond": (29.0, 302.8),
    "Kangaroo": (52.0, 3035.0),
    "Krull": (1598.0, 2665.5),
    "KungFuMaster": (258.5, 22736.3),
    "MontezumaRevenge": (0.0, 4753.3),
    "MsPacman": (307.3, 6951.6),
    "NameThisGame": (2292.3, 8049.0),
    "Phoenix": (761.4, 7242.6),
    "Pitfall": (-229.4, 6463.7),
    "Pong": (-20.7, 14.6),
    "PrivateEye": (24.9, 69571.3),
    "Qbert": (163.9, 13455.0),
    "Riverraid": (1338.5, 17118.0),
    "RoadRunner": (11.5, 7845.0),
    "Robotank": (2.2, 11.9),
    "Seaquest": (68.4, 42054.7),
    "Skiing": (-17098.1, -4336.9),
    "Solaris": (1236.3, 12326.7),
    "SpaceInvaders": (148.0, 1668.7),
    "StarGunner": (664.0, 10250.0),
    "Surround": (-10.0, 6.5),
    "Tennis": (-23.8, -8.3),
    "TimePilot": (3568.0, 5229.2),
    "Tutankham": (11.4, 167.6),
    "UpNDown": (533.4, 11693.2),
    "Venture": (0.0, 1187.5),
    "VideoPinball": (16256.9, 17667.9),
    "WizardOfWor": (563.5, 4756.5),
    "YarsRevenge": (3092.9, 54576.9),
    "Zaxxon": (32.5, 9173.3),
}

PUBLISHED: tuple[tuple[str, str, str, int, bool, dict[str, float]], ...] = (
    (
        "Nature DQN, 50M steps, best snapshot",
        "Mnih et al. 2015, extended data table 2",
        "nature2015",
        50_000_000,
        False,
        {
            "Pong": 18.9,
            "Breakout": 401.2,
            "Freeway": 30.3,
            "Boxing": 71.8,
            "Seaquest": 5286.0,
            "SpaceInvaders": 1976.0,
            "BeamRider": 6846.0,
            "Qbert": 10596.0,
            "Enduro": 301.8,
            "MsPacman": 2311.0,
        },
    ),
    (
        "DQN 2013, 2.5M steps",
        "Mnih et al. 2013, arXiv 1312.5602, table 1",
        "dqn2013",
        2_500_000,
        False,
        {
            "BeamRider": 4092.0,
            "Breakout": 168.0,
            "Enduro": 470.0,
            "Pong": 20.0,
            "Qbert": 1952.0,
            "Seaquest": 1705.0,
            "SpaceInvaders": 581.0,
        },
    ),
    (
        "Dopamine DQN (RMSProp), 10M steps",
        "google/dopamine, baselines/atari/data",
        "dopamine",
        10_000_000,
        False,
        {
            "Pong": 10.0,
            "Breakout": 80.7,
            "Freeway": 25.6,
            "Boxing": 76.4,
            "Seaquest": 1353.0,
            "SpaceInvaders": 1133.0,
            "BeamRider": 3996.0,
            "Qbert": 6831.0,
            "Enduro": 670.0,
            "MsPacman": 2447.0,
        },
    ),
    (
        "Dopamine DQN (Adam), 10M steps",
        "google/dopamine, baselines/atari/data",
        "dopamine",
        10_000_000,
        True,
        {
            "Pong": 17.8,
            "Breakout": 103.2,
            "Freeway": 13.3,
            "Boxing": 87.8,
            "Seaquest": 3647.0,
            "SpaceInvaders": 1380.0,
            "BeamRider": 4648.0,
            "Qbert": 8450.0,
            "Enduro": 1434.0,
            "MsPacman": 2611.0,
        },
    ),
    (
        "Dopamine DQN (RMSProp), 50M steps",
        "google/dopamine, baselines/atari/data",
        "dopamine",
        50_000_000,
        False,
        {
            "Pong": 15.9,
            "Breakout": 93.9,
            "Freeway": 26.2,
            "Boxing": 77.5,
            "Seaquest": 1505.0,
            "SpaceInvaders": 1738.0,
            "BeamRider": 5581.0,
            "Qbert": 10023.0,
            "Enduro": 632.0,
            "MsPacman": 3341.0,
        },
    ),
    (
        "Dopamine DQN (Adam), 50M steps",
        "google/dopamine, baselines/atari/data",
        "dopamine",
        50_000_000,
        True,
        {
            "Pong": 19.7,
            "Breakout": 198.0,
            "Freeway": 26.9,
            "Boxing": 93.8,
            "Seaquest": 5125.0,
            "SpaceInvaders": 4491.0,
            "BeamRider": 5760.0,
            "Qbert": 10382.0,
            "Enduro": 1775.0,
            "MsPacman": 3453.0,
        },
    ),
    (
        "stable-baselines3 DQN, 10M steps",
        "DLR-RM/rl-baselines3-zoo, benchmark.md",
        "sb3",
        10_000_000,
        False,
        {
            "Pong": 20.6,
            "Breakout": 358.3,
            "BeamRider": 4296.0,
            "Enduro": 830.9,
            "MsPacman": 2683.0,
            "Qbert": 9497.0,
            "Seaquest": 2000.0,
            "SpaceInvaders": 622.7,
            "RoadRunner": 40396.0,
            "Asteroids": 783.0,
        },
    ),
    (
        "CleanRL dqn_atari, 10M steps",
        "vwxyzjn/cleanrl, docs/rl-algorithms/dqn.md",
        "sb3",
        10_000_000,
        False,
        {
            "Breakout": 366.9,
            "Pong": 20.25,
            "BeamRider": 6673.0,
        },
    ),
    (
        "Rainbow, 50M steps, no-op starts",
        "Hessel et al. 2017, arXiv 1710.02298",
        "nature2015",
        50_000_000,
        False,
        {
            "Pong": 20.9,
            "Breakout": 417.5,
            "Freeway": 34.0,
            "Boxing": 99.6,
            "Seaquest": 15898.9,
            "SpaceInvaders": 18789.0,
            "BeamRider": 16850.2,
            "Qbert": 33817.5,
            "Enduro": 2125.9,
            "MsPacman": 5380.4,
        },
    ),
)
