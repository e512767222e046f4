"""Text to tokens and back: byte-pair encoding.

Papers: Sennrich et al. 2015, Neural machine translation of rare words with subword units, arXiv
1508.07909: start from characters and merge the commonest pair of neighbours inside words again and
again, so that frequent words become one token and rare ones a few. Radford et al. 2019 (GPT-2):
start from the 256 bytes instead, so that every text has tokens and comes back exactly; words are
cut before their leading space.

The work is done by the `tokenizers` library, whose JSON is the file format.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from core.errors import UserError, did_you_mean

BYTES = 256
SPECIAL = ("<pad>", "<start>", "<end>", "<mask>")
"""Tokens that stand for no text, as a new vocabulary has them: 0 to 3, in this order."""
END_OF_TEXT = "<|endoftext|>"
"""GPT-2's only special token."""
PRINTABLE = (*range(33, 127), *range(161, 173), *range(174, 256))
OTHERS = tuple(sorted({*range(BYTES)} - {*PRINTABLE}))
BYTE_OF = {chr(b): b for b in PRINTABLE} | {chr(BYTES + n): b for n, b in enumerate(OTHERS)}
"""Bytes by the letters that stand for them in vocabularies (GPT-2's way)."""


class BytePairEncoding:
    """A vocabulary with its merges."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        # Else the letters "<end>" in a text would become the token, and could forge the end of it.
        tokenizer.encode_special_tokens = True

    @property
    def size(self) -> int:
        """Number of tokens, the special ones included."""
        return self._tokenizer.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """The tokens of a text; never a special one.

        Raises:
            UserError: the text is not valid Unicode.
        """
        try:
            return self._tokenizer.encode(text, add_special_tokens=False).ids
        except TypeError as error:
            raise UserError(f"this is not text: {text[:40]!r} holds half a character") from error

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without the special ones; exactly what `encode` was given."""
        return self._tokenizer.decode(list(tokens), skip_special_tokens=True)

    def spelling(self, token: int) -> bytes:
        """The bytes of a token, which may be a part of a character; a special one's name."""
        letters = self._tokenizer.id_to_token(token)
        assert letters is not None
        return (
            bytes(BYTE_OF[c] for c in letters) if BYTE_OF.keys() >= {*letters} else letters.encode()
        )

    def special(self, name: str) -> int:
        """The token of a special name such as <pad>.

        Raises:
            UserError: this vocabulary has no such special token.
        """
        known = {t.content: i for i, t in self._tokenizer.get_added_tokens_decoder().items()}
        if name not in known:
            raise UserError(
                f"the vocabulary has no special token {name!r}{did_you_mean(name, known)} "
                f"(it has: {', '.join(known) or 'none'})"
            )
        return known[name]

    def save(self, path: Path) -> None:
        """Write the vocabulary as JSON."""
        path.write_text(self._tokenizer.to_str(), encoding="utf-8")


def train(
    sentences: Iterable[str], size: int, special: Sequence[str] = SPECIAL, least: int = 2
) -> BytePairEncoding:
    """Learn merges.

    Args:
        sentences: any pieces of text; nothing is merged across two of them.
        size: tokens wanted, with the 256 bytes and the special ones; a small text may give fewer.
        special: names of special tokens, which become the first tokens.
        least: times that a pair must occur to be merged.

    Raises:
        UserError: the size has no room for the bytes and the special tokens.
    """
    if size < BYTES + len(special):
        raise UserError(
            f"a vocabulary needs {BYTES + len(special)} tokens or more ({BYTES} bytes and "
            f"{len(special)} special), got {size}"
        )
    tokenizer = _byte_level(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=least,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sentences, trainer)
    return BytePairEncoding(tokenizer)


def read_lines(paths: Iterable[Path]) -> Iterator[str]:
    """The lines of text files one after the other, for `train`.

    Raises:
        UserError: a file cannot be read, or is not UTF-8.
    """
    for path in paths:
        try:
            with path.open(encoding="utf-8", newline="") as file:
                yield from file
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read text from {path}: {error}") from error


def load(path: Path) -> BytePairEncoding:
    """Read a vocabulary that `save` wrote.

    Raises:
        UserError: there is no such file, or it is of another kind.
    """
    try:
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises nothing narrower
        raise UserError(f"cannot read a vocabulary from {path}: {error}") from error
    if not isinstance(tokenizer.model, models.BPE) or not isinstance(
        tokenizer.decoder, decoders.ByteLevel
    ):
        raise UserError(f"{path} holds a tokenizer, but not byte-level byte-pair encoding")
    return BytePairEncoding(tokenizer)


def load_gpt2(vocabulary: Path, merges: Path) -> BytePairEncoding:
    """Read GPT-2's published files, encoder.json (or vocab.json) and vocab.bpe (or merges.txt).

    Raises:
        UserError: a file is missing or of another kind.
    """
    try:
        model = models.BPE.from_file(str(vocabulary), str(merges))
    except Exception as error:  # the library raises nothing narrower
        raise UserError(f"cannot read {vocabulary} and {merges}: {error}") from error
    tokenizer = _byte_level(model)
    tokenizer.add_special_tokens([END_OF_TEXT])
    return BytePairEncoding(tokenizer)


def _byte_level(model: models.BPE) -> Tokenizer:
    """GPT-2's way to cut text into words and to write bytes as letters."""
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer
