"""TensorBoard events of a run, written so that a broken disk never stops training.

Everything goes into one event file: scalars, histograms, images, animated images, texts and one
set of hyper-parameters. After a resume, ``purge_step`` tells TensorBoard to forget what a lost
timeline wrote, so curves do not zig-zag.
"""

from __future__ import annotations

import io
import logging
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util.tensor_util import make_tensor_proto

_log = logging.getLogger(__name__)

HISTOGRAM_BUCKETS = 40


class RunLogger:
    """Writes one run's TensorBoard events."""

    def __init__(self, folder: Path | None, purge_step: int | None = None) -> None:
        """Args:
        folder: where the event file goes; made if needed. None: nothing is written.
        purge_step: after a resume, the step that it started from.
        """
        self._records: RecordWriter | None = None
        if folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # TensorBoard reads the files of a folder in the order of their names.
            name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
            self._records = RecordWriter((folder / name).open("xb"))
        except OSError as error:
            self._give_up(error)
        # TensorBoard's own writer has a thread, which ends in a traceback when the disk is full.
        self._add(Event(file_version="brain.Event:2"), 0)
        if purge_step is not None:
            session = SessionLog(status=SessionLog.START)
            # TensorBoard drops this step itself, too, and the resumed run does not write it again.
            self._add(Event(session_log=session), purge_step + 1)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Numbers by tag. The description of a known tag goes with it."""
        for tag, value in values.items():
            self._summary(
                Summary.Value(
                    tag=tag, simple_value=float(value), metadata=_metadata(tag, "scalars")
                ),
                step,
            )

    def histogram(self, tag: str, values: np.ndarray, step: int) -> None:
        """How values are distributed; those that are not finite are left out."""
        values = np.asarray(values, dtype=np.float64).ravel()
        values = values[np.isfinite(values)]
        if not len(values):
            return
        counts, edges = np.histogram(values, bins=HISTOGRAM_BUCKETS)
        histogram = HistogramProto(
            min=values.min(),
            max=values.max(),
            num=len(values),
            sum=values.sum(),
            sum_squares=float(values @ values),
            bucket_limit=edges[1:].tolist(),
            bucket=counts.tolist(),
        )
        self._summary(
            Summary.Value(tag=tag, histo=histogram, metadata=_metadata(tag, "histograms")), step
        )

    def image(self, tag: str, image: np.ndarray, step: int) -> None:
        """A picture, uint8 [H, W] or [H, W, 3]."""
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, format="PNG")
        self._image(tag, buffer.getvalue(), image.shape, step)

    def animation(
        self, tag: str, frames: Sequence[np.ndarray], frames_per_second: float, step: int
    ) -> None:
        """A looping animated picture of frames, uint8 [H, W] or [H, W, 3]."""
        from PIL import Image

        pictures = [Image.fromarray(np.asarray(frame)) for frame in frames]
        buffer = io.BytesIO()
        pictures[0].save(
            buffer,
            format="GIF",
            save_all=True,
            append_images=pictures[1:],
            duration=round(1000 / frames_per_second),
            loop=0,
        )
        self._image(tag, buffer.getvalue(), np.shape(frames[0]), step)

    def text(self, tag: str, markdown: str, step: int) -> None:
        """A text as Markdown, such as a table."""
        value = Summary.Value(tag=tag, metadata=_metadata(tag, "text"))
        value.tensor.CopyFrom(make_tensor_proto(markdown.encode()))
        self._summary(value, step)

    def hparams(self, values: Mapping[str, Any], metric_tags: Sequence[str]) -> None:
        """The run's hyper-parameters: numbers, booleans and texts, never None.

        Args:
            values: flat.
            metric_tags: scalars that the page shows beside them.
        """
        experiment = api_pb2.Experiment(
            hparam_infos=[api_pb2.HParamInfo(name=name) for name in values],
            metric_infos=[
                api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in metric_tags
            ],
        )
        start = plugin_data_pb2.SessionStartInfo(start_time_secs=time.time())
        for name, value in values.items():
            if isinstance(value, bool):
                start.hparams[name].bool_value = value
            elif isinstance(value, (int, float)):
                start.hparams[name].number_value = value
            else:
                start.hparams[name].string_value = str(value)
        self._plugin(
            metadata.EXPERIMENT_TAG,
            plugin_data_pb2.HParamsPluginData(
                experiment=experiment, version=metadata.PLUGIN_DATA_VERSION
            ),
        )
        self._plugin(
            metadata.SESSION_START_INFO_TAG,
            plugin_data_pb2.HParamsPluginData(
                session_start_info=start, version=metadata.PLUGIN_DATA_VERSION
            ),
        )

    def flush(self) -> None:
        """Put everything on disk."""
        with self._complaints():
            if self._records is not None:
                self._records.flush()

    def close(self) -> None:
        """Put everything on disk and stop."""
        with self._complaints():
            if self._records is not None:
                self._records.close()
        self._records = None

    def _plugin(self, tag: str, content: Any) -> None:
        plugin = SummaryMetadata.PluginData(
            plugin_name=metadata.PLUGIN_NAME, content=content.SerializeToString()
        )
        value = Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin))
        value.tensor.CopyFrom(metadata.NULL_TENSOR)
        self._summary(value, 0)

    def _image(self, tag: str, encoded: bytes, shape: Sequence[int], step: int) -> None:
        image = Summary.Image(
            height=shape[0],
            width=shape[1],
            colorspace=3 if len(shape) == 3 else 1,
            encoded_image_string=encoded,
        )
        self._summary(Summary.Value(tag=tag, image=image, metadata=_metadata(tag, "images")), step)

    def _summary(self, value: Any, step: int) -> None:
        self._add(Event(summary=Summary(value=[value])), step)

    def _add(self, event: Any, step: int) -> None:
        event.step = step
        event.wall_time = time.time()
        with self._complaints():
            if self._records is not None:
                self._records.write(event.SerializeToString())

    @contextmanager
    def _complaints(self) -> Iterator[None]:
        """After the first failure say so once and write no more."""
        try:
            yield
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._records = None
        _log.warning("TensorBoard events cannot be written any more (%s); training goes on", error)


def _metadata(tag: str, plugin: str) -> Any:
    return SummaryMetadata(
        summary_description=DESCRIPTIONS.get(tag, ""),
        plugin_data=SummaryMetadata.PluginData(plugin_name=plugin),
    )


DESCRIPTIONS = {
    "return/raw": "Sum of raw rewards of one training episode.",
    "return/mean_100": "Mean of the last 100 training episodes.",
    "return/human_normalised": "0 is random play, 1 a human.",
    "return/length": "Agent steps of one training episode.",
    "evaluation/mean": "Mean raw score in separate environments under the run's protocol.",
    "evaluation/cut_episodes": "Episodes that had not ended after --evaluate-max-steps.",
    "evaluation/human_normalised": "Evaluation; 0 is random play, 1 a human.",
    "evaluation/video": "What the network sees in one evaluation episode.",
    "exploration/epsilon": "Chance of a random action.",
    "loss/td": "Loss of the temporal-difference error.",
    "q/mean": "Mean value of the best action.",
    "q/max": "Largest action value since the last point.",
    "q/td_error": "Target minus estimate, in the last batch.",
    "replay/fill": "Share of the replay memory in use.",
    "time/acting": "Share of time choosing actions.",
    "time/learning": "Share of time in updates.",
    "time/environment": "Share of time stepping environments.",
    "time/waiting": "Share of time waiting for environments, or all acting, in the background.",
    "speed/samples_per_agent_step": "Transitions learned per agent step, over the whole run.",
    "speed/frames_per_second": "Emulator frames, 4 per agent step.",
    "network/input": "The stacked frames of lane 0, oldest on the left.",
}
