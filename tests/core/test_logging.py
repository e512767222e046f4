"""What was logged is what TensorBoard reads."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata, plugin_data_pb2

from core.report.logging import RunLogger


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    return events


def test_everything_that_is_written_is_read_back(tmp_path: Path) -> None:
    logger = RunLogger(tmp_path)
    logger.scalars({"loss/td": 0.5, "q/mean": -2.0}, 7)
    logger.histogram("q/td_error", np.array([1.0, 2.0, np.nan, 4.0]), 7)
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    logger.image("network/input", image, 7)
    frames = [np.full((6, 8, 3), shade, np.uint8) for shade in (0, 120, 240)]
    logger.animation("evaluation/video", frames, 15, 7)
    logger.text("children", "| größe |\n|---|\n| 1 |", 7)
    logger.close()
    events = read(tmp_path)
    assert [(e.step, e.value) for e in events.Scalars("loss/td")] == [(7, 0.5)]
    assert [(e.step, e.value) for e in events.Scalars("q/mean")] == [(7, -2.0)]
    histogram = events.Histograms("q/td_error")[0].histogram_value
    assert (histogram.num, histogram.min, histogram.max, histogram.sum) == (3, 1, 4, 7)
    assert sum(histogram.bucket) == 3
    png = Image.open(io.BytesIO(events.Images("network/input")[0].encoded_image_string))
    np.testing.assert_array_equal(np.asarray(png), image)
    gif = Image.open(io.BytesIO(events.Images("evaluation/video")[0].encoded_image_string))
    assert (gif.format, gif.size, gif.n_frames) == ("GIF", (8, 6), 3)  # type: ignore[attr-defined]
    # Texts are a tensor of a plugin; the page asks for those of the plugin "text".
    assert events.PluginTagToContent("text") == {"children": b""}
    found = events.Tensors("children")[0].tensor_proto.string_val[0].decode()
    assert found == "| größe |\n|---|\n| 1 |"


def test_a_resumed_run_has_one_timeline(tmp_path: Path) -> None:
    logger = RunLogger(tmp_path)
    for step in range(0, 50, 10):
        logger.scalars({"return/raw": float(step)}, step)
    logger.close()
    logger = RunLogger(tmp_path, purge_step=20)
    logger.scalars({"return/raw": -1.0}, 30)
    logger.close()
    points = [(e.step, e.value) for e in read(tmp_path).Scalars("return/raw")]
    assert points == [(0, 0.0), (10, 10.0), (20, 20.0), (30, -1.0)], "the resumed step is kept"


def test_hparams_are_one_set_in_the_same_file(tmp_path: Path) -> None:
    logger = RunLogger(tmp_path)
    logger.hparams({"learning_rate": 1e-4, "double": True, "loss": "mse"}, ["evaluation/mean"])
    logger.scalars({"evaluation/mean": 3.0}, 1)
    logger.close()
    assert len(list(tmp_path.rglob("events.*"))) == 1
    content = read(tmp_path).SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    data = plugin_data_pb2.HParamsPluginData.FromString(content)
    hparams = data.session_start_info.hparams
    assert hparams["learning_rate"].number_value == 1e-4
    assert hparams["double"].bool_value is True
    assert hparams["loss"].string_value == "mse"


def test_a_broken_disk_is_said_once_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with caplog.at_level(logging.WARNING):
        logger = RunLogger(blocked / "events")
        for step in range(3):
            logger.scalars({"loss/td": 1.0}, step)
        logger.close()
    assert len(caplog.records) == 1
    assert "training goes on" in caplog.text


def test_a_disk_that_fills_is_said_once_without_a_traceback(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no device that is always full")
    always_full = full.open("wb")
    monkeypatch.setattr(Path, "open", lambda *arguments: always_full)
    logger = RunLogger(tmp_path)
    for step in range(3000):
        logger.scalars({"loss/td": 1.0}, step)
        logger.flush()
    logger.close()
    assert len(caplog.records) == 1 and "No space left on device" in caplog.text
    assert capfd.readouterr().err == ""
