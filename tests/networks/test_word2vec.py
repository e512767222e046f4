"""word2vec against gensim's tables, and against autograd on the paper's losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from core.errors import UserError
from core.machine.random_numbers import random_below, random_state, random_unit
from networks.language.huffman import huffman_paths
from networks.language.word2vec import (
    LARGEST_DRAW,
    Settings,
    Tables,
    Word2Vec,
    Word2VecConfig,
    build,
    draw_noise,
    keep_rates,
    learn_sentences,
    make_scratch,
    make_tables,
    noise_guide,
    noise_table,
)

WORDS, WIDTH = 9, 6
COUNTS = np.array([40, 21, 13, 9, 8, 5, 4, 2, 1])
TEXT = np.array([0, 3, 1, 0, 7, 2, 5, 0, 8, 1, 6, 4, 0, 2, 3, 1], np.int32)
BOUNDS = np.array([0, 6, 7, 16])
RATE = 0.3
MODELS = [(c, o) for c in ("skipgram", "cbow") for o in ("negative", "hierarchical")]


def distinct_counts(words: int) -> np.ndarray:
    """Falling counts without sums that are equal, which would allow several trees."""
    return np.sort(np.random.default_rng(1).integers(1, 10**12, words))[::-1]


# ---------------------------------------------------------------- tables


def test_huffman_codes_are_the_shortest_and_none_begins_another() -> None:
    counts = np.sort(np.random.default_rng(0).integers(1, 40, 200))[::-1]
    paths = huffman_paths(counts)
    codes = [
        "".join(map(str, paths.turns[a:b])) for a, b in zip(*_bounds(paths.starts), strict=True)
    ]
    assert len(set(codes)) == 200
    assert not any(b.startswith(a) for a in codes for b in codes if a != b)
    assert {int(paths.nodes[a]) for a in paths.starts[:-1]} == {198}, "all begin at the root"
    # The sum of all joined weights is the least cost that any tree has.
    heap, cost = sorted(counts.tolist()), 0
    while len(heap) > 1:
        joined = heap[0] + heap[1]
        heap = sorted([joined, *heap[2:]])
        cost += joined
    assert int((counts * np.diff(paths.starts)).sum()) == cost


def _bounds(starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return starts[:-1], starts[1:]


def test_a_tree_needs_two_sorted_words() -> None:
    assert huffman_paths(np.array([3, 1])).turns.tolist() == [1, 0]
    for counts in ([5], [1, 2]):
        with pytest.raises(ValueError, match="most frequent first"):
            huffman_paths(np.array(counts))


def test_codes_tables_and_keep_rates_are_gensims() -> None:
    gensim = pytest.importorskip("gensim.models")
    counts = distinct_counts(300)
    model = gensim.Word2Vec(vector_size=4, min_count=1, hs=1, negative=5, sample=1e-3)
    model.build_vocab_from_freq({f"w{n}": int(count) for n, count in enumerate(counts)})
    assert model.wv.index_to_key == [f"w{n}" for n in range(300)]
    paths, rates = huffman_paths(counts), keep_rates(counts, 1e-3)
    for n in range(300):
        places = slice(paths.starts[n], paths.starts[n + 1])
        assert paths.turns[places].tolist() == model.wv.get_vecattr(f"w{n}", "code").tolist()
        assert paths.nodes[places].tolist() == model.wv.get_vecattr(f"w{n}", "point").tolist()
        kept = model.wv.get_vecattr(f"w{n}", "sample_int") / (2**32 - 1)
        assert kept == pytest.approx(min(1.0, rates[n]), abs=1e-6)
    np.testing.assert_allclose(noise_table(counts), model.cum_table.astype(np.int64), atol=2)


def test_noise_words_follow_their_counts_to_the_power_of_three_quarters() -> None:
    table = noise_table(COUNTS)
    assert table[-1] == LARGEST_DRAW
    shares = COUNTS**0.75 / (COUNTS**0.75).sum()
    np.testing.assert_allclose(np.diff(table, prepend=0) / LARGEST_DRAW, shares, atol=1e-8)
    random, again = random_state(5)[0], random_state(5)[0]
    guide = noise_guide(table)
    drawn = np.array([draw_noise(table, guide, random) for _ in range(20_000)])
    slow = np.array([random_below(again, LARGEST_DRAW) for _ in range(20_000)])
    assert (drawn == np.searchsorted(table, slow, side="right")).all()
    np.testing.assert_allclose(np.bincount(drawn, minlength=WORDS) / 20_000, shares, atol=0.01)


def test_frequent_words_are_thinned_by_the_authors_formula() -> None:
    assert (keep_rates(COUNTS, 0) == 1).all()
    share, threshold = 40 / COUNTS.sum(), 0.01
    expected = (np.sqrt(share / threshold) + 1) * threshold / share
    assert keep_rates(COUNTS, threshold)[0] == pytest.approx(expected)


# ---------------------------------------------------------------- learning


def loss_of(
    hidden: Tensor, output: Tensor, word: int, tables: Tables, noise: list[int] | None
) -> Tensor:
    """The paper's loss of foretelling a word: against noise words, or along its path."""
    if noise is not None:
        others = [n for n in noise if n != word]
        return -F.logsigmoid(hidden @ output[word]) - F.logsigmoid(-output[others] @ hidden).sum()
    places = slice(tables.starts[word], tables.starts[word + 1])
    signs = torch.from_numpy(1.0 - 2.0 * tables.turns[places])
    return -F.logsigmoid(signs * (output[tables.nodes[places]] @ hidden)).sum()


def slow_learning(
    model: Word2Vec, tables: Tables, settings: Settings, random: np.ndarray
) -> tuple[Tensor, Tensor, float]:
    """TEXT learned by autograd, a prediction at a time; the same draws in the same order."""
    vectors, output = (
        parameter.detach().double().requires_grad_() for parameter in (model.vectors, model.output)
    )
    total = 0.0

    def learn(context: list[int], word: int) -> None:
        nonlocal total
        noise = None
        if not settings.hierarchical:
            noise = [
                draw_noise(tables.noise, tables.guide, random) for _ in range(settings.negatives)
            ]
        loss = loss_of(vectors[context].mean(0), output, word, tables, noise)
        gradients = torch.autograd.grad(loss, (vectors, output))
        with torch.no_grad():
            for parameter, gradient in zip((vectors, output), gradients, strict=True):
                parameter -= RATE * gradient
        total += loss.item()

    for first, last in zip(BOUNDS[:-1], BOUNDS[1:], strict=True):
        kept = [
            int(word)
            for word in TEXT[first:last]
            if tables.keep[word] >= 1 or random_unit(random) < tables.keep[word]
        ]
        for i, word in enumerate(kept):
            reach = settings.window - random_below(random, settings.window)
            context = kept[max(0, i - reach) : i] + kept[i + 1 : i + reach + 1]
            if settings.cbow and context:
                learn(context, word)
            for other in [] if settings.cbow else context:
                learn([other], word)
    return vectors.detach(), output.detach(), total


@pytest.mark.parametrize(("context", "output"), MODELS)
def test_learning_is_gradient_descent_on_the_papers_loss(context: str, output: str) -> None:
    torch.manual_seed(0)
    model = Word2Vec(Word2VecConfig(WORDS, WIDTH, context, output))
    with torch.no_grad():
        model.output.normal_()
        model.vectors.normal_()
    tables = make_tables(COUNTS, 0.05)
    if output == "negative":
        # One noise word, or one that is drawn twice would see itself moved in between.
        settings = Settings(context == "cbow", False, 3, 1, 1)
    else:
        settings = Settings(context == "cbow", True, 3, 0, 1)
    vectors, outputs, loss = slow_learning(model, tables, settings, random_state(3)[0])
    before = model.vectors.detach().clone()
    got, count = learn_sentences(
        model.vectors.detach().numpy(), model.output.detach().numpy(), TEXT, BOUNDS, 0, 3, RATE,
        tables, settings, random_state(3)[0], make_scratch(10, WIDTH),
    )  # fmt: skip
    assert count > 5 and got == pytest.approx(loss, rel=1e-4)
    assert (model.vectors - before).abs().max() > 0.1
    torch.testing.assert_close(model.vectors.detach().double(), vectors, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(model.output.detach().double(), outputs, atol=1e-4, rtol=1e-4)


def test_a_rate_of_zero_only_measures() -> None:
    model = Word2Vec(Word2VecConfig(WORDS, WIDTH))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    loss, count = learn_sentences(
        model.vectors.detach().numpy(), model.output.detach().numpy(), TEXT, BOUNDS, 0, 3, 0.0,
        make_tables(COUNTS, 0.0), Settings(False, False, 3, 5, 1), random_state(3)[0],
        make_scratch(10, WIDTH),
    )  # fmt: skip
    # An output of zeros says one half to everything; noise words that are the word are left out.
    assert 0.8 * 6 * np.log(2) < loss / count < 6 * np.log(2)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_model_that_cannot_be_is_refused() -> None:
    with pytest.raises(UserError, match="output must be one of"):
        build(Word2VecConfig(output="softmax"))
    with pytest.raises(UserError, match="two different words"):
        build(Word2VecConfig(vocabulary=1))
    model = Word2Vec(Word2VecConfig(WORDS, WIDTH, output="hierarchical"))
    assert model.output.shape == (WORDS - 1, WIDTH)
    assert torch.equal(model(torch.tensor([4])), model.vectors[[4]])
