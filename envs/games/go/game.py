"""Go as a `Game`."""

from __future__ import annotations

from envs.games.game import Game
from envs.games.go import features, playout, rollout, rules
from envs.games.options import GoOptions

GO = Game(
    name="go",
    title="Go",
    options=GoOptions,
    new=rules.new,
    play=rules.play,
    legal=rules.legal,
    observe=features.observe,
    cells=features.copy_cells,
    score=rules.score,
    owners=features.ownership,
    handicap=features.handicap,
    random_playout=playout.playout,
    guided_playout=rollout.pattern_playout,
    chances=rollout.pattern_chances,
    words=lambda options: int(rules.state_words(options.size, options.limit)),
    actions=lambda options: options.size**2 + 1,
    planes=features.PLANES,
    has_pass=True,
)
