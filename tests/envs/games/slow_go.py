"""Go written straight from the rules, slowly: sets of points and whole boards in the history."""

from __future__ import annotations

from dataclasses import dataclass, field

Board = tuple[int, ...]


@dataclass
class SlowGo:
    """A game of Go; colours 1 Black, 2 White, cells row by row."""

    size: int
    ko: str = "positional"
    suicide: bool = True
    board: Board = ()
    to_move: int = 1
    passes: int = 0
    history: list[tuple[Board, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.board = self.board or (0,) * self.size**2
        self.history.append((self.board, self.to_move))

    def neighbours(self, cell: int) -> list[int]:
        """Cells beside a cell."""
        row, column = divmod(cell, self.size)
        around = [(row - 1, column), (row, column - 1), (row, column + 1), (row + 1, column)]
        inside = range(self.size)
        return [r * self.size + c for r, c in around if r in inside and c in inside]

    def reach(self, board: Board, cell: int) -> tuple[set[int], set[int]]:
        """The connected cells of one colour, and the cells that border on them."""
        region, border, todo = {cell}, set(), [cell]
        while todo:
            for other in self.neighbours(todo.pop()):
                if board[other] != board[cell]:
                    border.add(other)
                elif other not in region:
                    region.add(other)
                    todo.append(other)
        return region, border

    def liberties(self, board: Board, cell: int) -> set[int]:
        """The empty cells next to the chain of a stone."""
        return {c for c in self.reach(board, cell)[1] if board[c] == 0}

    def after(self, cell: int, colour: int) -> Board:
        """The board that a stone makes: it captures, then its own chain may be captured."""
        board = list(self.board)
        board[cell] = colour
        for victim in (3 - colour, colour):
            for stone in range(len(board)):
                if board[stone] == victim and not self.liberties(tuple(board), stone):
                    for dead in self.reach(tuple(board), stone)[0]:
                        board[dead] = 0
        return tuple(board)

    def is_legal(self, cell: int) -> bool:
        """Tell whether the player to move may play there."""
        if self.board[cell]:
            return False
        board = self.after(cell, self.to_move)
        if board[cell] == 0 and (not self.suicide or board == self.board):
            return False
        if self.ko == "simple":
            # Retaking at once gives the board of one move ago; passes give no such board.
            return len(self.history) < 2 or board != self.history[-2][0]
        if self.ko == "positional":
            return all(board != before for before, _ in self.history)
        return (board, 3 - self.to_move) not in self.history

    def play(self, cell: int | None) -> None:
        """Play a legal move; None passes."""
        if cell is None:
            self.passes += 1
        else:
            self.board = self.after(cell, self.to_move)
            self.passes = 0
        self.to_move = 3 - self.to_move
        self.history.append((self.board, self.to_move))

    def margin(self) -> int:
        """Black's area less White's."""
        owners = []
        for cell, colour in enumerate(self.board):
            if colour == 0:
                touched = {self.board[c] for c in self.reach(self.board, cell)[1]}
                colour = touched.pop() if len(touched) == 1 else 0
            owners.append(colour)
        return owners.count(1) - owners.count(2)
