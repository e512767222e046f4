"""Frames in a window, at the speed at which they are meant to be seen."""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np

from core.errors import UserError

SMALLEST_HEIGHT = 480
UNSEEN = ("dummy", "offscreen")
"""What SDL draws to where there is no display."""


def show(frames: Iterable[np.ndarray], frames_per_second: float, title: str) -> bool:
    """Show frames until they end, or the window is closed or left by Esc: then false.

    Args:
        frames: uint8 [H, W, 3], all of one size; small ones are enlarged by whole pixels.
        frames_per_second: speed.
        title: of the window.

    Raises:
        UserError: there is no display, or no pygame.
    """
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        import pygame
    except ImportError as error:
        raise UserError("a window needs pygame: pip install pygame; --video films") from error
    try:
        pygame.display.init()
        driver = pygame.display.get_driver()
        if driver in UNSEEN and os.environ.get("SDL_VIDEODRIVER") != driver:
            raise UserError("there is no display to open a window on; film with --video instead")
        clock = pygame.time.Clock()
        for frame in frames:
            height, width = frame.shape[:2]
            scale = max(1, -(-SMALLEST_HEIGHT // height))
            window = pygame.display.get_surface()
            if window is None:
                window = pygame.display.set_mode((width * scale, height * scale))
                pygame.display.set_caption(title)
            picture = pygame.image.frombuffer(frame.tobytes(), (width, height), "RGB")
            window.blit(pygame.transform.scale(picture, window.get_size()), (0, 0))
            pygame.display.flip()
            for event in pygame.event.get():
                escaped = event.type == pygame.KEYDOWN and event.key == pygame.K_ESCAPE
                if escaped or event.type == pygame.QUIT:
                    return False
            clock.tick(frames_per_second)
        return True
    except pygame.error as error:
        raise UserError(
            f"no window can be opened here ({error}); film with --video instead"
        ) from error
    finally:
        pygame.display.quit()
