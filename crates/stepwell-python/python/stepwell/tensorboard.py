"""TensorBoard's `SummaryWriter` on a Stepwell folder, as `torch.utils.tensorboard` has it; torch is not needed.

    from stepwell.tensorboard import SummaryWriter

    with SummaryWriter("runs/first") as writer:
        for step in range(100):
            writer.add_scalar("train/loss", 1 / (step + 1), step)

What becomes of each call:

| call | here |
| --- | --- |
| add_scalar | a point of the metric TAG |
| add_scalars | a point of each metric MAIN_TAG/TAG, in the same run |
| add_text | `texts/TAG/STEP.txt` |
| add_image, add_images | `images/TAG/STEP.png`; more of one call `STEP-2.png` … |
| add_image_with_boxes | so too, and the boxes as `STEP.json` |
| add_figure | `figures/TAG/STEP.png`; more of one call `STEP-2.png` … |
| add_video | `videos/TAG/STEP.png`, an animated PNG |
| add_audio | `audio/TAG/STEP.wav` |
| add_histogram, add_histogram_raw | `histograms/TAG/STEP.json` |
| add_pr_curve, add_pr_curve_raw | `pr_curves/TAG/STEP.json` |
| add_hparams | params and metrics of the run; later calls, and those with a run_name, get runs of their own |
| add_graph, add_onnx_graph, add_embedding, add_mesh, add_tensor, add_custom_scalars … | ignored with one warning each |

A call without a step counts on by itself, for each tag. Logging never raises.
"""

from __future__ import annotations

import datetime
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import _encode, _ending, _files
from ._dropin import alone, flatten, never_raises, newest, set_params, set_params_once, tell
from ._run import Run
from ._workspace import Workspace, opened

__all__ = ["SummaryWriter"]

LOG_DIR = "tensorboard.log_dir"


def _placed(log_dir: str) -> tuple[str, str]:
    """The experiment and the run of a folder of event files: the first folder, and what is below it."""
    path = Path(os.path.normpath(log_dir))
    parts = path.parts[-2:] if path.is_absolute() else tuple(part for part in path.parts if part != "..")
    if len(parts) < 2:
        return "Default", parts[0] if parts else "run"
    return parts[0].strip(os.sep) or "Default", "/".join(parts[1:])


class SummaryWriter:
    """Logs to a run.

    log_dir: names the run: `runs/a/b` is the run `a/b` of the experiment `runs`. A folder that was logged to before
        names the same run, which goes on. Without, `runs/` and the time, the host and `comment`.
    workspace: a folder or an open workspace; as for `stepwell.open` without.
    experiment, name: other names for the experiment and the run.
    strict: whether a call that fails raises.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
        *,
        workspace: Workspace | str | os.PathLike[str] | None = None,
        experiment: str | None = None,
        name: str | None = None,
        strict: bool = False,
        **more: Any,
    ) -> None:
        for argument in more:
            tell(f"SummaryWriter ignores {argument}", "the argument is not known")
        if purge_step is not None:
            tell("SummaryWriter ignores purge_step", "points that were logged stay")
        if filename_suffix:
            tell("SummaryWriter ignores filename_suffix", "there are no event files")
        if log_dir is None:
            now = datetime.datetime.now().strftime("%b%d_%H-%M-%S")
            log_dir = os.path.join("runs", f"{now}_{socket.gethostname()}{comment}")
        self.log_dir = os.fspath(log_dir)
        self.strict = strict
        self._workspace = opened(workspace)
        placed, below = _placed(self.log_dir)
        self._experiment, self._name = experiment or placed, name or below
        self._next: dict[str, int] = {}
        self._had_hparams = False
        self._run = self._begin()
        self._folder = self._run.artifact_folder

    def _begin(self) -> Run:
        where = os.path.abspath(self.log_dir)
        with alone(self._workspace.path):
            there = newest(self._workspace, self._experiment, LOG_DIR, where)
            if there is not None:
                return self._workspace.run(resume=there, strict=self.strict)
            return self._workspace.run(
                experiment=self._experiment, name=self._name, tags={LOG_DIR: where}, strict=self.strict
            )

    @property
    def run(self) -> Run:
        """Stepwell's run. A writer that was closed goes on with it."""
        if not self._run.active:
            self._run = self._workspace.run(resume=self._run.id, strict=self.strict)
        return self._run

    @property
    def id(self) -> str:
        """The run's id."""
        return self._run.id

    def get_logdir(self) -> str:
        """The folder that names the run."""
        return self.log_dir

    def _at(self, tag: str, step: Any) -> int:
        at = self._next.get(tag, 0) if step is None else int(step)
        self._next[tag] = at + 1
        return at

    def _put(self, kind: str, tag: str, step: Any, files: list[tuple[str, bytes]]) -> None:
        at = self._at(tag, step)
        for number, (suffix, data) in enumerate(files):
            where = f"{at}" if number == 0 else f"{at}-{number + 1}"
            _files.write(self._folder, f"{kind}/{tag}/{where}{suffix}", data)

    @never_raises
    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        new_style: bool = False,
        double_precision: bool = False,
    ) -> None:
        """Logs a value. All 64 bits of it are kept, with or without `double_precision`."""
        if hasattr(scalar_value, "item"):
            scalar_value = scalar_value.item()
        self._log({tag: scalar_value}, self._at(tag, global_step), walltime)

    @never_raises
    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: Mapping[str, Any],
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Logs several values, as MAIN_TAG/TAG. TensorBoard would make a run of each."""
        values = {
            f"{main_tag}/{tag}": value.item() if hasattr(value, "item") else value
            for tag, value in tag_scalar_dict.items()
        }
        self._log(values, self._at(main_tag, global_step), walltime)

    def _log(self, values: dict[str, Any], at: int, walltime: float | None) -> None:
        self.run.log(values, step=at, time_ms=None if walltime is None else int(walltime * 1000))

    @never_raises
    def add_text(
        self, tag: str, text_string: str, global_step: int | None = None, walltime: float | None = None
    ) -> None:
        """Keeps a text."""
        self._put("texts", tag, global_step, [(".txt", str(text_string).encode())])

    @never_raises
    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: int | None = None,
        bins: Any = "tensorflow",
        walltime: float | None = None,
        max_bins: int | None = None,
    ) -> None:
        """Keeps counts of values in bins: 64, or `bins` if it is a number, or numpy's rule or edges."""
        if bins == "tensorflow" if isinstance(bins, str) else isinstance(bins, int):
            count = bins if isinstance(bins, int) else max_bins or 64
            data = _files.histogram(values, min(count, max_bins or count))
        else:
            import numpy

            found = _encode.array(values).ravel()
            counts, edges = numpy.histogram(found[numpy.isfinite(found)], bins=bins)
            nan = int(numpy.isnan(found).sum())
            rest = int(found.size - numpy.isfinite(found).sum()) - nan
            kept = {"edges": edges.tolist(), "counts": counts.tolist(), "nan": nan, "infinite": rest}
            data = json.dumps(kept).encode()
        self._put("histograms", tag, global_step, [(".json", data)])

    @never_raises
    def add_histogram_raw(
        self,
        tag: str,
        min: float,
        max: float,
        num: float,
        sum: float,
        sum_squares: float,
        bucket_limits: Any,
        bucket_counts: Any,
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Keeps a histogram in TensorBoard's own form, as `stepwell import` does."""
        limits, counts = [float(limit) for limit in bucket_limits], [float(count) for count in bucket_counts]
        kept = {"min": float(min), "max": float(max), "num": float(num), "sum": float(sum)}
        kept_all = kept | {"sum_squares": float(sum_squares), "bucket_limit": limits, "bucket": counts}
        self._put("histograms", tag, global_step, [(".json", json.dumps(kept_all).encode())])

    @never_raises
    def add_image(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "CHW",
    ) -> None:
        """Keeps a picture: bytes, or floats from 0 to 1."""
        if dataformats.upper() in ("NCHW", "NHWC"):
            self.add_images(tag, img_tensor, global_step, walltime, dataformats)
            return
        self._put("images", tag, global_step, [(".png", _picture(img_tensor, dataformats))])

    @never_raises
    def add_images(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "NCHW",
    ) -> None:
        """Keeps several pictures, each as a file. TensorBoard would make one picture of all."""
        order = dataformats.upper()
        images = _encode.array(img_tensor)
        if images.ndim != len(order) or "N" not in order:
            raise ValueError(f"pictures have the dimensions {order}, not {images.ndim}")
        images = images.swapaxes(0, order.index("N")) if order[0] != "N" else images
        files = [(".png", _picture(image, order.replace("N", ""))) for image in images]
        self._put("images", tag, global_step, files)

    @never_raises
    def add_image_with_boxes(
        self,
        tag: str,
        img_tensor: Any,
        box_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        rescale: float = 1,
        dataformats: str = "CHW",
        labels: Any = None,
    ) -> None:
        """Keeps a picture, and its boxes beside it as JSON. TensorBoard would draw them into it."""
        boxes = {"boxes": _encode.array(box_tensor).tolist(), "labels": None if labels is None else list(labels)}
        at = self._at(tag, global_step)
        _files.write(self._folder, f"images/{tag}/{at}.png", _picture(img_tensor, dataformats))
        _files.write(self._folder, f"images/{tag}/{at}.json", json.dumps(boxes).encode())

    @never_raises
    def add_figure(
        self,
        tag: str,
        figure: Any,
        global_step: int | None = None,
        close: bool = True,
        walltime: float | None = None,
    ) -> None:
        """Keeps figures of matplotlib, and closes them if `close` is true."""
        figures = list(figure) if isinstance(figure, (list, tuple)) else [figure]
        self._put("figures", tag, global_step, [_files.figure(one) for one in figures])
        if close and all(hasattr(one, "savefig") for one in figures):
            from matplotlib import pyplot

            for one in figures:
                pyplot.close(one)

    @never_raises
    def add_video(
        self,
        tag: str,
        vid_tensor: Any,
        global_step: int | None = None,
        fps: float = 4,
        walltime: float | None = None,
    ) -> None:
        """Keeps videos, each number × frames × channels × height × width, as animated PNG."""
        videos = _encode.array(vid_tensor)
        if videos.ndim != 5:
            raise ValueError(f"videos have five dimensions, NTCHW, not {videos.ndim}")
        files = []
        for video in videos:
            frames = [_encode.pixels(frame, "CHW", scale="unit") for frame in video]
            files.append((".png", _encode.animated_png(frames, fps)))
        self._put("videos", tag, global_step, files)

    @never_raises
    def add_audio(
        self,
        tag: str,
        snd_tensor: Any,
        global_step: int | None = None,
        sample_rate: int = 44100,
        walltime: float | None = None,
    ) -> None:
        """Keeps a sound: samples from -1 to 1."""
        samples = _encode.array(snd_tensor)
        # Torch takes 1 × samples as well.
        samples = samples[0] if samples.ndim == 2 and samples.shape[0] == 1 else samples
        self._put("audio", tag, global_step, [(".wav", _encode.wav(samples, sample_rate))])

    @never_raises
    def add_pr_curve(
        self,
        tag: str,
        labels: Any,
        predictions: Any,
        global_step: int | None = None,
        num_thresholds: int = 127,
        weights: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Keeps a curve of precision and recall over thresholds from 0 to 1."""
        import numpy

        truth = _encode.array(labels).ravel().astype(bool)
        scores = _encode.array(predictions).ravel().astype(float)
        each = numpy.ones_like(scores) if weights is None else _encode.array(weights).ravel().astype(float)
        thresholds = numpy.linspace(0, 1, num_thresholds)
        hits = [float(each[truth & (scores >= threshold)].sum()) for threshold in thresholds]
        false = [float(each[~truth & (scores >= threshold)].sum()) for threshold in thresholds]
        all_true, all_false = float(each[truth].sum()), float(each[~truth].sum())
        self._put_curve(
            tag,
            global_step,
            thresholds=thresholds.tolist(),
            true_positives=hits,
            false_positives=false,
            true_negatives=[all_false - count for count in false],
            false_negatives=[all_true - count for count in hits],
            precision=[hit / max(hit + miss, 1e-7) for hit, miss in zip(hits, false, strict=True)],
            recall=[hit / max(all_true, 1e-7) for hit in hits],
        )

    @never_raises
    def add_pr_curve_raw(
        self,
        tag: str,
        true_positive_counts: Any,
        false_positive_counts: Any,
        true_negative_counts: Any,
        false_negative_counts: Any,
        precision: Any,
        recall: Any,
        global_step: int | None = None,
        num_thresholds: int = 127,
        weights: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Keeps a curve of precision and recall."""
        self._put_curve(
            tag,
            global_step,
            true_positives=_encode.array(true_positive_counts).tolist(),
            false_positives=_encode.array(false_positive_counts).tolist(),
            true_negatives=_encode.array(true_negative_counts).tolist(),
            false_negatives=_encode.array(false_negative_counts).tolist(),
            precision=_encode.array(precision).tolist(),
            recall=_encode.array(recall).tolist(),
        )

    def _put_curve(self, tag: str, step: Any, **curve: list[float]) -> None:
        self._put("pr_curves", tag, step, [(".json", json.dumps(curve).encode())])

    @never_raises
    def add_hparams(
        self,
        hparam_dict: Mapping[str, Any],
        metric_dict: Mapping[str, Any],
        hparam_domain_discrete: Any = None,
        run_name: str | None = None,
        global_step: int | None = None,
    ) -> None:
        """Sets params and logs metrics: of the run, or of a run of its own for a later call or with a `run_name`."""
        if hparam_domain_discrete is not None:
            tell("SummaryWriter.add_hparams ignores hparam_domain_discrete", "params have no domains")
        metrics = {key: value.item() if hasattr(value, "item") else value for key, value in metric_dict.items()}
        step = 0 if global_step is None else int(global_step)
        if run_name is None and not self._had_hparams:
            texts = {key: str(value) for key, value in flatten(hparam_dict, "/")}
            if not self._conflicts(texts):
                self._had_hparams = True
                set_params(self.run, texts, "SummaryWriter.add_hparams")
                self.run.log(metrics, step=step)
                return
        name = f"{self._name}/{run_name or datetime.datetime.now().timestamp()}"
        with self._workspace.run(experiment=self._experiment, name=name, strict=self.strict) as own:
            set_params_once(own, hparam_dict, "SummaryWriter.add_hparams")
            own.log(metrics, step=step)

    def _conflicts(self, texts: dict[str, str]) -> bool:
        there = self.run.view().params
        return any(there.get(key, text) != text for key, text in texts.items())

    def _ignore(self, call: str, why: str) -> None:
        tell(f"SummaryWriter ignores {call}", why)

    def add_graph(self, *arguments: Any, **options: Any) -> None:
        """Ignored, with a warning."""
        self._ignore("add_graph", "a graph is not kept; keep the model's text with add_text")

    def add_onnx_graph(self, *arguments: Any, **options: Any) -> None:
        """Ignored, with a warning."""
        self._ignore("add_onnx_graph", "keep the file: writer.run.artifact(path)")

    def add_embedding(self, *arguments: Any, **options: Any) -> None:
        """Ignored, with a warning."""
        self._ignore("add_embedding", "there is no projector; keep the matrix as a file: writer.run.artifact(path)")

    def add_mesh(self, *arguments: Any, **options: Any) -> None:
        """Ignored, with a warning."""
        self._ignore("add_mesh", "keep the mesh as a file: writer.run.artifact(path)")

    def add_tensor(self, *arguments: Any, **options: Any) -> None:
        """Ignored, with a warning."""
        self._ignore("add_tensor", "keep the tensor as a file: writer.run.artifact(path)")

    def add_custom_scalars(self, *arguments: Any, **options: Any) -> None:
        """Ignored, with a warning."""
        self._ignore("add_custom_scalars", "there is no page with charts of one's own")

    def add_custom_scalars_multilinechart(self, *arguments: Any, **options: Any) -> None:
        """Ignored, with a warning."""
        self._ignore("add_custom_scalars_multilinechart", "there is no page with charts of one's own")

    def add_custom_scalars_marginchart(self, *arguments: Any, **options: Any) -> None:
        """Ignored, with a warning."""
        self._ignore("add_custom_scalars_marginchart", "there is no page with charts of one's own")

    @never_raises
    def flush(self) -> None:
        """Returns when all that was logged survives a power loss."""
        if self._run.active:
            self._run.sync()

    def close(self) -> None:
        """Ends the run. A call after it goes on with the run."""
        self._run.finish()

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._run.finish(_ending.status_of(error))


def _picture(values: Any, order: str) -> bytes:
    return _encode.png(_encode.pixels(values, order, scale="unit"))
