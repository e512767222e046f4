"""All networks by name. Imports no torch, so that the table shows at once.

A family is a paper and a file. Its module holds a frozen config, `PRESETS: dict[str, Config]`, and
`build(config) -> nn.Module`; torsos are classes that take an observation's spec instead.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from core.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from torch import nn

    from core.lanes import ObservationSpec
    from networks.torso import Torso

LARGEST_LAYER = 65_536
"""Units of a hidden layer; more are surely a mistake."""

Kind = Literal["torso", "image", "language", "masked", "translation", "words", "generator"]


@dataclass(frozen=True)
class Family:
    """The networks of one paper."""

    title: str
    module: str
    kind: Kind
    year: int
    paper: str
    presets: Mapping[str, int | None]
    """Name to the number of parameters that the paper or its reference implementation has; None
    where it depends on the input."""


FAMILIES = (
    Family(
        "LeNet-5", "networks.vision.lenet", "image", 1998,
        "LeCun et al., Gradient-based learning applied to document recognition",
        {"lenet5": 61_706, "lenet5_1998": 60_000},
    ),
    Family(
        "AlexNet", "networks.vision.alexnet", "image", 2012,
        "Krizhevsky et al., ImageNet classification with deep convolutional neural networks",
        {"alexnet2012": 60_965_224, "alexnet": 61_100_840},
    ),
    Family(
        "VGG", "networks.vision.vgg", "image", 2014, "Simonyan & Zisserman, arXiv 1409.1556",
        {"vgg11": 132_863_336, "vgg13": 133_047_848, "vgg16": 138_357_544, "vgg19": 143_667_240,
         "vgg11_bn": 132_868_840, "vgg13_bn": 133_053_736, "vgg16_bn": 138_365_992,
         "vgg19_bn": 143_678_248},
    ),
    Family(
        "GoogLeNet", "networks.vision.googlenet", "image", 2014, "Szegedy et al., arXiv 1409.4842",
        {"googlenet": 6_624_904, "googlenet_aux": 13_004_888, "googlenet_5x5": 7_005_832},
    ),
    Family(
        "Highway network", "networks.vision.highway", "image", 2015,
        "Srivastava et al., arXiv 1505.00387", {"highway": None, "plain": None},
    ),
    Family(
        "ResNet", "networks.vision.resnet", "image", 2015, "He et al., arXiv 1512.03385",
        {"resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032,
         "resnet101": 44_549_160, "resnet152": 60_192_808},
    ),
    Family(
        "ResNet for small images", "networks.vision.resnet_cifar", "image", 2015,
        "He et al., arXiv 1512.03385, section 4.2",
        {"resnet20": 269_722, "resnet32": 464_154, "resnet44": 658_586, "resnet56": 853_018,
         "resnet110": 1_727_962, "plain20": 269_722, "plain56": 853_018},
    ),
    Family(
        "Inception-v4", "networks.vision.inception_v4", "image", 2016,
        "Szegedy et al., arXiv 1602.07261", {"inception_v4": 42_679_816},
    ),
    Family(
        "Inception-ResNet-v2", "networks.vision.inception_resnet_v2", "image", 2016,
        "Szegedy et al., arXiv 1602.07261", {"inception_resnet_v2": 55_843_464},
    ),
    Family(
        "Neural ODE", "networks.vision.neural_ode", "image", 2018, "Chen et al., arXiv 1806.07366",
        {"odenet": 208_266, "odenet_resnet": 576_778},
    ),
    Family(
        "word2vec", "networks.language.word2vec", "words", 2013,
        "Mikolov et al., arXiv 1301.3781 and 1310.4546", {"skipgram": None, "cbow": None},
    ),
    Family(
        "GloVe", "networks.language.glove", "words", 2014,
        "Pennington et al., GloVe: Global vectors for word representation", {"glove": None},
    ),
    Family(
        "LSTM", "networks.language.lstm", "language", 2014,
        "Zaremba et al., Recurrent neural network regularization, arXiv 1409.2329",
        {"lstm_small": 4_653_200, "lstm_medium": 19_780_400, "lstm_large": 66_034_000},
    ),
    Family(
        "Attention", "networks.language.seq2seq", "translation", 2014,
        "Bahdanau et al., arXiv 1409.0473",
        {"rnnsearch": 80_443_000, "rnnencdec": 68_578_000},
    ),
    Family(
        "Transformer", "networks.language.transformer", "translation", 2017,
        "Vaswani et al., arXiv 1706.03762",
        {"transformer_base": 63_082_496, "transformer_big": 214_245_376,
         "transformer_small": 6_001_664},
    ),
    Family(
        # With the output of a language model: 793,471 (P + 1). Without, as ELMo is used, they are
        # 93,600,848, 28,027,728 and 13,593,296.
        "ELMo", "networks.language.elmo", "language", 2018, "Peters et al., arXiv 1802.05365",
        {"elmo": 500_651_471, "elmo_medium": 231_949_775, "elmo_small": 115_951_055,
         "elmo_tiny": 1_606_256},
    ),
    Family(
        "GPT", "networks.language.gpt", "language", 2018,
        "Radford et al., Improving language understanding by generative pre-training",
        {"gpt": 116_534_784},
    ),
    Family(
        "GPT-2", "networks.language.gpt2", "language", 2019,
        "Radford et al., Language models are unsupervised multitask learners",
        {"gpt2": 124_439_808, "gpt2_medium": 354_823_168, "gpt2_large": 774_030_080,
         "gpt2_xl": 1_557_611_200, "gpt2_tiny": 842_496},
    ),
    Family(
        "Transformer-XL", "networks.language.transformer_xl", "language", 2019,
        "Dai et al., arXiv 1901.02860",
        {"transformer_xl_enwik8": 41_066_700, "transformer_xl_wt103": 151_119_838,
         "transformer_xl_tiny": 883_916},
    ),
    Family(
        "Reformer", "networks.language.reformer", "language", 2020,
        "Kitaev et al., arXiv 2001.04451", {"reformer": 5_975_872, "reformer_tiny": 412_107},
    ),
    Family(
        # The encoder and its output of masked tokens. What the paper counts, 110 million, has the
        # pooler (590,592) and the judge of next sentences (1,538) besides.
        "BERT", "networks.language.bert", "masked", 2018, "Devlin et al., arXiv 1810.04805",
        {"bert_base": 109_514_298, "bert_large": 335_174_458, "minilm": 22_744_506,
         "bert_tiny": 4_764_090},
    ),
    Family(
        "XLNet", "networks.language.xlnet", "masked", 2019, "Yang et al., arXiv 1906.08237",
        {"xlnet_base": 116_750_336, "xlnet_large": 360_300_800, "xlnet_tiny": 869_842},
    ),
    Family(
        "GAN", "networks.generators.gan", "generator", 2014, "Goodfellow et al., arXiv 1406.2661",
        {"gan": None},
    ),
    Family(
        "DCGAN", "networks.generators.dcgan", "generator", 2015, "Radford et al., arXiv 1511.06434",
        {"dcgan": 3_576_704},
    ),
    Family(
        "Progressive growing", "networks.generators.progressive", "generator", 2017,
        "Karras et al., arXiv 1710.10196", {"progressive": 23_079_115},
    ),
    Family(
        "StyleGAN", "networks.generators.stylegan", "generator", 2018,
        "Karras et al., arXiv 1812.04948", {"stylegan": 26_219_627},
    ),
    Family(
        "Designed network", "networks.designed.build", "image", 2017,
        "of a file, as designed:FILE.json; architecture search, Zoph & Le, arXiv 1611.01578",
        {"designed": None},
    ),
    Family(
        "Designed recurrent cell", "networks.designed.build", "language", 2017,
        "of a file, as designed_rnn:FILE.json; Zoph & Le, arXiv 1611.01578, section 3.4",
        {"designed_rnn": None},
    ),
)  # fmt: skip

DESIGNED = ("designed", "designed_rnn")
"""Networks whose names may have a colon and a file after them."""


@dataclass(frozen=True)
class TorsoEntry:
    """Where a torso is and what it is for. Its parameters depend on the observation."""

    module: str
    cls: str
    year: int | None
    """Of its paper; None for those that have none."""
    summary: str
    sized: bool = True
    """Whether it ends in hidden layers whose sizes can be chosen."""


TORSOS: dict[str, TorsoEntry] = {
    "nature": TorsoEntry(
        "networks.control.convolutional", "nature", 2015,
        "Mnih et al., doi 10.1038/nature14236: three convolutions",
    ),
    "dqn2013": TorsoEntry(
        "networks.control.convolutional", "dqn2013", 2013,
        "Mnih et al., arXiv 1312.5602: two convolutions",
    ),
    "compact": TorsoEntry(
        "networks.control.convolutional", "compact", None,
        "dqn2013 for frames half as high and wide (--pixels 42)",
    ),
    "impala": TorsoEntry(
        "networks.control.impala", "ImpalaCNN", 2018,
        "Espeholt et al., arXiv 1802.01561: fifteen convolutions",
    ),
    "impala_btr": TorsoEntry(
        "networks.control.impala", "impala_btr", 2024,
        "Clark et al., arXiv 2411.03820: the same twice as wide, with spectral norms, pooled",
    ),
    "transformer": TorsoEntry(
        "networks.control.transformer_torso", "TransformerTorso", 2017,
        "Vaswani et al., arXiv 1706.03762: attention among patches of images, or features of "
        "vectors",
        sized=False,
    ),
    "small": TorsoEntry(
        "networks.control.convolutional", "small", None,
        "for images under 36 pixels: two convolutions",
    ),
    "mlp": TorsoEntry("networks.control.mlp", "MLP", None, "for vectors: two hidden layers"),
}  # fmt: skip


def automatic_torso(spec: ObservationSpec) -> str:
    """The torso that fits an observation when the user named none."""
    if not spec.is_image:
        return "mlp"
    return "nature" if min(spec.shape[:2]) >= 36 else "small"


def hidden_sizes(text: str) -> tuple[int, ...]:
    """'256,128' to (256, 128); '' to ().

    Raises:
        UserError: anything else.
    """
    words = text.replace(",", " ").split()
    if not all(word.isdecimal() and 0 < int(word) <= LARGEST_LAYER for word in words):
        raise UserError(
            f"--hidden must be the units of each hidden layer, such as 256,256; got {text!r}"
        )
    return tuple(int(word) for word in words)


def build_torso(name: str, spec: ObservationSpec, hidden: Sequence[int] = ()) -> Torso:
    """Build a torso for an observation: one of `TORSOS`, or any image network.

    Args:
        name: of the torso, or 'auto'.
        spec: the observation.
        hidden: units of its hidden layers, after the convolutions where it has some; empty for
            the torso's own.

    Raises:
        UserError: unknown name, or a network that cannot take such an observation or hidden layers.
    """
    name = automatic_torso(spec) if name == "auto" else name
    if hidden and not (name in TORSOS and TORSOS[name].sized):
        sized = ", ".join(torso for torso, entry in TORSOS.items() if entry.sized)
        raise UserError(f"--hidden is not for network {name}; it is for {sized}")
    if spec.categories:
        from networks.torso import OneHotTorso

        one_hot = dataclasses.replace(spec, shape=(spec.categories,), dtype="float32", categories=0)
        return OneHotTorso(build_torso(name, one_hot, hidden), spec.categories)
    if name not in TORSOS:
        require_image_network(name, TORSOS)
        from networks.adapters import ImageTorso

        return ImageTorso(name, spec)
    entry = TORSOS[name]
    build = getattr(importlib.import_module(entry.module), entry.cls)
    torso: Torso = build(spec, hidden) if hidden else build(spec)
    return torso


def split_name(name: str) -> tuple[str, str]:
    """'designed:FILE.json' to ('designed', 'FILE.json'); any other name to itself and ''."""
    preset, _, file = name.partition(":")
    return (preset, file) if preset in DESIGNED else (name, "")


def with_design(name: str) -> str:
    """'designed:FILE.json' with the design itself in the place of its file, which may move away or
    change; any other name as it is.

    Raises:
        UserError: the file cannot be read, or holds no JSON object.
    """
    from networks.designed.reading import is_file, read_design

    preset, file = split_name(name)
    if not is_file(file):
        return name
    return f"{preset}:{json.dumps(read_design(file), separators=(',', ':'))}"


def shown_name(name: str) -> str:
    """A name in a few letters: that of a design is its space and a hash."""
    preset, design = split_name(name)
    if not design.startswith("{"):
        return name
    from networks.designed.reading import read_design

    digest = hashlib.sha256(design.encode()).hexdigest()[:8]
    return f"{preset}:{read_design(design).get('space')}-{digest}"


def find_family(name: str, also: Iterable[str] = ()) -> Family:
    """The family that a preset belongs to; `also` are other names to suggest.

    Raises:
        UserError: unknown name; says the nearest one.
    """
    preset, _ = split_name(name)
    for family in FAMILIES:
        if preset in family.presets:
            return family
    known = [*also, *(preset for family in FAMILIES for preset in family.presets)]
    raise UserError(
        f"there is no network {name!r}{did_you_mean(name, known)} (list them: tengen networks)"
    )


def require_image_network(name: str, also: Iterable[str] = ()) -> None:
    """Raise UserError unless `name` is an image network; `also` are other names to suggest."""
    kind = find_family(name, also).kind
    if kind != "image":
        raise UserError(
            f"network {name} is of kind {kind} and cannot look at an environment; "
            f"use an image network (list them: tengen networks) or --network transformer"
        )


def network_config(name: str, **changes: Any) -> Any:
    """The config of a preset, with changes that its dataclass has fields for.

    Raises:
        UserError: unknown name or field.
    """
    family = find_family(name)
    preset, file = split_name(name)
    config = importlib.import_module(family.module).PRESETS[preset]
    if file:
        config = dataclasses.replace(config, design=file)
    fields = {field.name for field in dataclasses.fields(config)}
    for field in changes:
        if field not in fields:
            raise UserError(
                f"network {name} has no option {field!r}{did_you_mean(field, fields)} "
                f"(it has: {', '.join(sorted(fields))})"
            )
    return dataclasses.replace(config, **changes)


def build_network(name: str, **changes: Any) -> nn.Module:
    """Build a network by the name of a preset.

    Raises:
        UserError: unknown name or field.
    """
    config = network_config(name, **changes)
    network: nn.Module = importlib.import_module(find_family(name).module).build(config)
    return network
