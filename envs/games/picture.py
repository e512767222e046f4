"""Boards as pictures."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from envs.games.notation import COLUMN_LETTERS
from envs.games.session import Session

_WOOD, _LINE, _TEXT = (222, 184, 120), (60, 45, 25), (60, 45, 25)
_STONES = {1: (20, 20, 20), 2: (245, 245, 240)}
_MARK = (220, 60, 40)


def board_picture(session: Session, cell_pixels: int = 32) -> np.ndarray:
    """Draw the board with the last move marked, uint8 [(H + 2) * cell, (W + 2) * cell, 3]."""
    cells = session.cells()
    height, width = cells.shape
    image = Image.new("RGB", ((width + 2) * cell_pixels, (height + 2) * cell_pixels), _WOOD)
    draw = ImageDraw.Draw(image)
    centre = [(i + 1.5) * cell_pixels for i in range(max(height, width))]
    for row in range(height):
        draw.line([centre[0], centre[row], centre[width - 1], centre[row]], _LINE)
    for column in range(width):
        draw.line([centre[column], centre[0], centre[column], centre[height - 1]], _LINE)
        name = COLUMN_LETTERS[column] if session.game.naming == "points" else str(column + 1)
        draw.text((centre[column], cell_pixels / 2), name, _TEXT, anchor="mm")
    for row in range(height):
        draw.text((cell_pixels / 2, centre[row]), str(height - row), _TEXT, anchor="mm")
    last = session.last_cell()
    for row, column in np.argwhere(cells):
        x, y, radius = centre[column], centre[row], 0.46 * cell_pixels
        colour = _STONES[int(cells[row, column])]
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], colour, _LINE)
        if last == row * width + column:
            radius /= 3
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], _MARK)
    return np.asarray(image)
