"""`tengen networks`: the table, one network, names that do not exist."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agents.registry import AGENTS
from commands.dispatch import main
from commands.options import parse_training
from core.config import check
from networks.registry import FAMILIES, TORSOS, find_family, network_config
from tasks.network_options import parse_options

ROOT = Path(__file__).resolve().parent.parent.parent


def printed(capsys: pytest.CaptureFixture[str], *argv: str) -> list[str]:
    """Lines of `tengen networks`."""
    assert main(["networks", *argv]) == 0
    return capsys.readouterr().out.splitlines()


def test_the_table_has_every_network_with_year_size_and_paper(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = {line.split()[0]: line for line in printed(capsys)[1:] if line}
    for family in FAMILIES:
        for name, count in family.presets.items():
            size = f"{count:,}" if count else "by input"
            for text in (family.kind, str(family.year), size, family.paper):
                assert f"  {text}" in rows[name]
    for name, entry in TORSOS.items():
        assert str(entry.year or "") in rows[name] and entry.summary in rows[name]


def test_the_table_needs_no_torch() -> None:
    program = (
        "import sys\n"
        "from commands.dispatch import main\n"
        "assert main(['networks']) == 0\n"
        "assert not {'torch', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("name", [next(iter(family.presets)) for family in FAMILIES])
def test_one_network_says_its_size_its_command_and_its_options(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(capsys, name)
    family = find_family(name)
    count = family.presets[name]
    assert count is None or lines[0].endswith(f": {count:,} parameters")
    config = network_config(name)
    options = [line.strip() for line in lines if line.startswith("  ") and line[2] != " "]
    for field, value in parse_options(name, config, " ".join(options)).items():
        assert getattr(config, field) == value


@pytest.mark.parametrize("name", [name for family in FAMILIES for name in family.presets])
def test_the_command_that_trains_it_makes_that_network(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = [line for line in printed(capsys, name) if line.startswith("train it ")]
    _, train, agent, *options = line.removeprefix("train it").split()
    config, _ = parse_training(AGENTS[agent], options)
    check(config)
    assert train == "train" and name in (
        getattr(config, "network", ""), getattr(config, "model", "")
    )  # fmt: skip
    if agent != "words":
        parse_options(name, network_config(name), config.network_options)
    if agent == "gan":
        assert (config.data == "ring") == (name == "gan"), "images need other data than points"


def test_options_of_a_base_config_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "stylegan")
    assert "  widest=512" in lines and "  style=512" in lines
    assert "its critic 23,087,249 parameters" in lines


def test_masked_models_go_on_to_classes_of_texts(capsys: pytest.CaptureFixture[str]) -> None:
    told = "and then   tengen train label --initial RUN   (classes of texts)"
    assert told in printed(capsys, "bert_tiny") and told not in printed(capsys, "gpt2_tiny")


def test_large_networks_ask_for_larger_images(capsys: pytest.CaptureFixture[str]) -> None:
    assert "train it   tengen train classify --network vgg16 --data FOLDER" in printed(
        capsys, "vgg16"
    )


@pytest.mark.parametrize("name", TORSOS)
def test_torsos_name_their_file(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (file,) = [line.split()[1] for line in printed(capsys, name) if line.startswith("file ")]
    assert (ROOT / file).is_file()


def test_unknown_names_are_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong, right in (("googlenett", "googlenet"), ("natur", "nature")):
        assert main(["networks", wrong]) == 2
        assert f"did you mean '{right}'?" in capsys.readouterr().err
