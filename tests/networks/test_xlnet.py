"""XLNet against transformers, what each prediction depends on, and the identity order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.errors import UserError
from networks.language.xlnet import XLNet, XLNetConfig, build, rename, visible
from networks.weights import load_official
from tests.networks.reference import torchvision_models

SMALL = XLNetConfig(vocabulary=13, width=16, layers=2, heads=2, head_width=6, inner=20, dropout=0.0)
TOKENS = torch.tensor([[1, 5, 3, 9, 11, 2, 7], [0, 0, 10, 2, 4, 6, 1]])
RANKS = torch.tensor([[3, 1, 0, 4, 2, 0, 5], [1, 0, 2, 0, 0, 4, 3]])
ALL = torch.arange(7).expand(2, -1)


def stir(module: nn.Module, seed: int = 0) -> Any:
    """In float64 and evaluation, with weights that make a difference, the same each time."""
    module.double().eval()
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


def close(ours: Tensor, theirs: Tensor) -> None:
    """Equal but for distances in float32."""
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def model(config: XLNetConfig = SMALL) -> XLNet:
    """Ours."""
    network = stir(build(config))
    assert isinstance(network, XLNet)
    return network


def pair(**changes: Any) -> tuple[XLNet, Any]:
    """Ours and transformers' with the same weights."""
    torchvision_models()  # which transformers imports
    from transformers import XLNetConfig as Config
    from transformers import XLNetLMHeadModel

    sizes = {
        "vocab_size": 13, "d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 20, "dropout": 0.0,
    }  # fmt: skip
    config = Config(**sizes, **changes)
    config.d_head = 6  # which the library would compute
    theirs = stir(XLNetLMHeadModel(config), seed=1)
    with torch.no_grad():
        theirs.transformer.mask_emb.normal_()
    encoding = theirs.transformer.relative_positional_encoding  # float32, whatever the weights are
    theirs.transformer.relative_positional_encoding = lambda *a, **k: encoding(*a, **k).double()
    ours = model()
    load_official(ours, theirs.state_dict(), rename)
    return ours, theirs


def test_both_streams_are_those_of_transformers() -> None:
    ours, theirs = pair(mem_len=7)
    sees = visible(RANKS)
    targets = torch.tensor([[0, 3, 6], [5, 0, 6]])
    segments = torch.tensor([[0, 0, 0, 1, 1, 1, 0], [1, 1, 0, 0, 0, 1, 1]])
    mapping = torch.nn.functional.one_hot(targets, 7).double()
    asked = {
        "perm_mask": (~(sees & ~torch.eye(7, dtype=torch.bool))).double(),
        "target_mapping": mapping, "token_type_ids": segments, "use_mems": True,
    }  # fmt: skip
    expected = theirs(TOKENS, **asked)
    content, query, memory = ours.streams(TOKENS, sees, targets, segments)
    assert (ours.logits(query) - ours.logits(query).flip(0)).abs().max() > 0.1
    close(ours.logits(query), expected.logits)
    for one, other in zip(memory, expected.mems, strict=True):
        close(one, other.transpose(0, 1))
    later = theirs(TOKENS.flip(0), mems=expected.mems, **asked)
    _, query, _ = ours.streams(TOKENS.flip(0), sees, targets, segments, memory)
    close(ours.logits(query), later.logits)
    del asked["target_mapping"]
    plain = theirs.transformer(TOKENS, **asked).last_hidden_state
    close(content, plain)


def test_gradients_are_those_of_transformers() -> None:
    ours, theirs = pair()
    sees = visible(RANKS) & ~torch.eye(7, dtype=torch.bool)
    ours.logits(ours.streams(TOKENS, sees, ALL)[1]).square().sum().backward()
    mapping = torch.eye(7, dtype=torch.float64).expand(2, -1, -1)
    theirs(
        TOKENS, perm_mask=(~sees).double(), target_mapping=mapping
    ).logits.square().sum().backward()
    attention, reference = ours.attention[0], theirs.transformer.layer[0].rel_attn
    assert isinstance(attention.query, Tensor)
    for mine, other in (
        (attention.query, reference.q), (attention.distance, reference.r),
        (attention.distance_bias, reference.r_r_bias),
        (ours.embedding.weight, theirs.transformer.word_embedding.weight),
        (ours.unknown, theirs.transformer.mask_emb),
    ):  # fmt: skip
        assert mine.grad is not None and mine.grad.abs().max() > 1e-3
        close(mine.grad, other.grad.reshape(mine.shape))


def test_the_identity_order_is_a_causal_model() -> None:
    ours, theirs = pair(attn_type="uni")
    sees = torch.ones(2, 7, 7, dtype=torch.bool).tril(-1)
    content, query, _ = ours.streams(TOKENS, sees, ALL)
    expected = theirs.transformer(TOKENS).last_hidden_state
    close(content, expected)
    # Reading on with the memory of what came before is reading at once, for the content.
    _, _, memory = ours.streams(TOKENS[:, :4], sees[:, :4, :4], ALL[:, :4])
    later, asked, _ = ours.streams(TOKENS[:, 4:], sees[:, 4:, 4:], ALL[:, :3], None, memory)
    torch.testing.assert_close(later, content[:, 4:])
    torch.testing.assert_close(asked, query[:, 4:])


def test_a_prediction_depends_on_earlier_ones_in_the_order_alone() -> None:
    network = model()
    order = torch.tensor([2, 5, 0, 6, 3, 1, 4])
    ranks = torch.empty(1, 7, dtype=torch.int64)
    ranks[0, order] = torch.arange(1, 8)
    rows: list[Tensor] = []

    def note(_: nn.Module, __: Any, embedded: Tensor) -> Tensor:
        rows.append(embedded.detach().requires_grad_())
        return rows[-1]

    hook = network.embedding.register_forward_hook(note)
    _, query, _ = network.streams(TOKENS[:1], visible(ranks), ALL[:1])
    hook.remove()
    for k, position in enumerate(order.tolist()):
        (gradient,) = torch.autograd.grad(query[0, position].sum(), rows, retain_graph=True)
        depends = gradient[0].abs().sum(dim=1) > 0  # [T]
        expected = torch.zeros(7, dtype=torch.bool)
        expected[order[:k]] = True
        assert torch.equal(depends, expected), f"prediction {k} of the order"


def test_the_order_matters_and_the_first_of_it_is_finite() -> None:
    network = model()
    first, second = (
        network.streams(TOKENS, visible(ranks), ALL)[1] for ranks in (RANKS + 1, 8 - RANKS)
    )
    assert (first - second).abs().amax(dim=2).min() > 1e-3
    alone = network.streams(TOKENS[:, :1], visible(torch.ones(2, 1).long()), ALL[:, :1])[1]
    # What may look at nothing knows only that.
    torch.testing.assert_close(alone[0], alone[1])
    assert bool(alone.isfinite().all())


def test_hidden_tokens_and_padding_are_not_looked_at() -> None:
    network = model()
    seen = TOKENS.clone()
    seen[:, 2] = 12  # hidden
    attend = torch.ones(2, 7, dtype=torch.bool)
    attend[:, 5:] = False
    logits = network(seen, attend)
    for position, changes in ((5, False), (1, True)):
        other = seen.clone()
        other[:, position] = (other[:, position] + 1) % 12
        difference = (network(other, attend) - logits).abs().amax(dim=(0, 2))
        assert (difference[2] > 1e-3) == changes
    short = network(seen[:, :5])
    torch.testing.assert_close(logits[:, :5], short)


def test_hidden_tokens_are_learned_one_after_another() -> None:
    network = model()
    hidden = torch.tensor([[0, 1, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 0, 1]]).bool()
    seen = TOKENS.masked_fill(hidden, 12)
    torch.manual_seed(0)
    logits = network.logits_of_hidden(seen, TOKENS, hidden)
    assert logits.shape == (5, 13)
    alone = network(seen)[hidden]  # each as if it were the first of the order
    same = (logits - alone).abs().amax(dim=1) < 1e-9
    assert same[:3].sum() == 1 and same[3:].sum() == 1, "one of each text comes first"
    single = torch.zeros_like(hidden)
    single[:, 3] = True
    one = network.logits_of_hidden(seen, TOKENS, single)
    torch.testing.assert_close(one, network(TOKENS.masked_fill(single, 12))[single])


def test_dropout_drops_only_in_training() -> None:
    network = model(replace(SMALL, dropout=0.5))
    hidden = torch.ones(2, 7, dtype=torch.bool)
    torch.testing.assert_close(network(TOKENS), network(TOKENS))
    network.train()
    first, second = (network.logits_of_hidden(TOKENS, TOKENS, hidden) for _ in range(2))
    assert (first - second).abs().max() > 1e-3


def test_an_odd_width_is_refused() -> None:
    with pytest.raises(UserError, match="an even width, got 15"):
        XLNet(replace(SMALL, width=15))


@pytest.mark.parametrize("hidden", [1, 7])
def test_every_weight_learns(hidden: int) -> None:
    network = model().train()
    mask = torch.zeros(2, 7, dtype=torch.bool)
    mask[:, :hidden] = True
    loss = network.logits_of_hidden(TOKENS, TOKENS, mask).square().sum()
    learned = {name: p for name, p in network.named_parameters() if "segment" not in name}
    gradients = torch.autograd.grad(loss, list(learned.values()))
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_a_classifier_of_texts_is_that_of_transformers() -> None:
    torchvision_models()  # which transformers imports
    from transformers import XLNetConfig as Config
    from transformers import XLNetForSequenceClassification

    config = Config(
        vocab_size=13, d_model=16, n_layer=2, n_head=2, d_inner=20, dropout=0.0, num_labels=4,
        summary_last_dropout=0.0,
    )  # fmt: skip
    config.d_head = 6
    theirs = stir(XLNetForSequenceClassification(config), seed=1)
    encoding = theirs.transformer.relative_positional_encoding
    theirs.transformer.relative_positional_encoding = lambda *a, **k: encoding(*a, **k).double()
    ours = stir(build(SMALL).build_classifier(4))  # type: ignore[operator]
    weights = theirs.state_dict()
    body = {name: weight for name, weight in weights.items() if name.startswith("transformer.")}
    body["lm_loss.bias"] = torch.zeros(13)
    load_official(ours.body, body, rename)
    ours.pooler.load_state_dict(theirs.sequence_summary.summary.state_dict())
    ours.output.load_state_dict(theirs.logits_proj.state_dict())
    attend = torch.tensor([[True] * 7, [False] * 3 + [True] * 4])
    close(ours(TOKENS, attend), theirs(TOKENS, attention_mask=attend.double()).logits)
    close(ours(TOKENS), theirs(TOKENS).logits)
    ours(TOKENS, attend).square().sum().backward()
    unused = {name for name, p in ours.named_parameters() if p.requires_grad and p.grad is None}
    assert all("segment" in name for name in unused), "of one segment nobody asks where it ends"
