"""What can be logged beside numbers and texts: each becomes an artifact `KIND/KEY/STEP.ENDING`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .. import _encode, _files
from .._errors import InvalidError, NotFoundError
from ._config import plain
from ._ignored import given, unknown


class Media:
    """Something that becomes a file."""

    kind = "values"

    def __init__(self, caption: str | None = None) -> None:
        self.caption = caption
        self._made: tuple[str, bytes | Path] | None = None
        self._error: Exception | None = None

    def _make(self, encode: Any) -> None:
        """Encodes at once, since the data may change later; what fails is told when it is logged."""
        try:
            self._made = encode()
        except Exception as error:
            self._error = error

    def encoded(self) -> tuple[str, bytes | Path]:
        """The ending of the file, and its bytes or where they are."""
        if self._error is not None:
            raise self._error
        assert self._made is not None
        return self._made

    def notes(self) -> dict[str, Any]:
        """What belongs to the file and is not in it; goes beside it as JSON."""
        return {} if self.caption is None else {"caption": self.caption}

    def keep(self, folder: Path, key: str, where: str) -> str:
        """Puts the file among artifacts. Gives its name there."""
        suffix, data = self.encoded()
        name = f"{self.kind}/{key}/{where}{suffix}"
        put(folder, name, data)
        notes = self.notes()
        if notes:
            _files.write(folder, f"{self.kind}/{key}/{where}.json", json.dumps(plain(notes)).encode())
        return name


def put(folder: Path, name: str, data: bytes | Path) -> None:
    """Writes bytes, or copies a file, to a name below a folder."""
    if isinstance(data, bytes):
        _files.write(folder, name, data)
        return
    target = _files.place(folder, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    _files._copy_file(data, target)


def _file(path: Any) -> tuple[str, Path]:
    path = Path(path)
    if not path.is_file():
        raise NotFoundError(f"no file {os.fspath(path)!r} to log")
    return path.suffix, path


def _read(stream: Any) -> bytes:
    if hasattr(stream, "seek"):
        stream.seek(0)
    data = stream.read()
    return data.encode() if isinstance(data, str) else bytes(data)


def _picture_ending(data: bytes) -> str:
    for start, ending in ((b"\x89PNG", ".png"), (b"\xff\xd8", ".jpg"), (b"GIF", ".gif"), (b"RIFF", ".webp")):
        if data.startswith(start):
            return ending
    return ".bin"


class Image(Media):
    """A picture: a file, an array or tensor (height × width, with channels last), a PIL image, a figure, or a stream.

    Floats from 0 to 1 are scaled to bytes.
    """

    kind = "images"

    def __init__(
        self,
        data_or_path: Any,
        mode: str | None = None,
        caption: str | None = None,
        grouping: int | None = None,
        classes: Any = None,
        boxes: dict[str, Any] | None = None,
        masks: dict[str, Any] | None = None,
        file_type: str | None = None,
        **more: Any,
    ) -> None:
        super().__init__(caption)
        given("Image", grouping=(grouping, None), masks=(masks, None))
        unknown("Image", more)
        self.classes = getattr(classes, "class_set", classes)
        self.boxes = boxes
        self._make(lambda: self._encode(data_or_path, mode, file_type))

    @staticmethod
    def _encode(data: Any, mode: str | None, file_type: str | None) -> tuple[str, bytes | Path]:
        if isinstance(data, Image):
            return data.encoded()
        if isinstance(data, (str, os.PathLike)):
            return _file(data)
        if hasattr(data, "read") and not hasattr(data, "tobytes"):
            found = _read(data)
            return _picture_ending(found), found
        if mode is not None and hasattr(data, "convert"):
            data = data.convert(mode)
        if hasattr(data, "savefig") or hasattr(data, "to_html") or hasattr(data, "convert"):
            if file_type not in (None, "png") and hasattr(data, "convert"):
                import io

                stream = io.BytesIO()
                data.save(stream, format={"jpg": "jpeg"}.get(file_type, file_type))
                return f".{file_type}", stream.getvalue()
            return _files.figure(data)
        if not hasattr(data, "shape"):
            if hasattr(data, "figure"):
                return _files.figure(data)
            raise InvalidError(f"not a picture: {type(data).__name__}")
        values = _encode.array(data)
        # Tensors of torch have channels first, which W&B moves.
        if hasattr(data, "detach") and values.ndim == 3:
            return ".png", _encode.png(_encode.pixels(values, "CHW"))
        return ".png", _encode.png(_encode.pixels(values, "HW" if values.ndim == 2 else "HWC"))

    def notes(self) -> dict[str, Any]:
        more = {"classes": self.classes, "boxes": self.boxes}
        return super().notes() | {key: value for key, value in more.items() if value is not None}


class Video(Media):
    """A moving picture: a file, a stream, or an array, frames × channels × height × width, which becomes an animated
    PNG."""

    kind = "videos"

    def __init__(
        self,
        data_or_path: Any,
        caption: str | None = None,
        fps: int | None = None,
        format: str | None = None,
        **more: Any,
    ) -> None:
        super().__init__(caption)
        unknown("Video", more)
        self._make(lambda: self._encode(data_or_path, fps or 4, format))

    @staticmethod
    def _encode(data: Any, fps: float, form: str | None) -> tuple[str, bytes | Path]:
        if isinstance(data, (str, os.PathLike)):
            return _file(data)
        if hasattr(data, "read"):
            return f".{form or 'gif'}", _read(data)
        frames = _encode.array(data)
        if frames.ndim == 5:
            # Several videos stand side by side.
            frames = frames.transpose(1, 2, 3, 0, 4).reshape(*frames.shape[1:4], -1)
        if frames.ndim != 4:
            raise InvalidError(f"a video is frames × channels × height × width, not the shape {frames.shape}")
        return ".png", _encode.animated_png([_encode.pixels(frame, "CHW") for frame in frames], fps)


class Audio(Media):
    """A sound: a file, or samples with their rate, which become WAV."""

    kind = "audio"

    def __init__(
        self, data_or_path: Any, sample_rate: int | None = None, caption: str | None = None, **more: Any
    ) -> None:
        super().__init__(caption)
        unknown("Audio", more)
        self._make(lambda: self._encode(data_or_path, sample_rate))

    @staticmethod
    def _encode(data: Any, rate: int | None) -> tuple[str, bytes | Path]:
        if isinstance(data, (str, os.PathLike)):
            return _file(data)
        if rate is None:
            raise InvalidError("samples need a sample_rate")
        return ".wav", _encode.wav(data, rate)


class Html(Media):
    """A page: text, a path that ends with `.html`, or a stream."""

    kind = "html"

    def __init__(self, data: Any, inject: bool = True, data_is_not_path: bool = False, **more: Any) -> None:
        super().__init__()
        given("Html", inject=(inject, True))
        unknown("Html", more)
        self._make(lambda: self._encode(data, data_is_not_path))

    @staticmethod
    def _encode(data: Any, is_text: bool) -> tuple[str, bytes | Path]:
        if hasattr(data, "read"):
            return ".html", _read(data)
        if isinstance(data, os.PathLike) or (not is_text and str(data).endswith(".html") and os.path.isfile(data)):
            return _file(data)
        return ".html", str(data).encode()


class Object3D(Media):
    """A scene: a file, a stream, an array of points (N × 3, 4 or 6), or W&B's dict of points, boxes and vectors."""

    kind = "objects3d"

    def __init__(
        self, data_or_path: Any, caption: str | None = None, file_type: str | None = None, **more: Any
    ) -> None:
        super().__init__(caption)
        unknown("Object3D", more)
        if file_type is not None and not hasattr(data_or_path, "read"):
            given("Object3D", file_type=(file_type, None))
        self._make(lambda: self._encode(data_or_path, file_type))

    @staticmethod
    def _encode(data: Any, file_type: str | None) -> tuple[str, bytes | Path]:
        if isinstance(data, (str, os.PathLike)):
            return _file(data)
        if hasattr(data, "read"):
            return f".{file_type or 'obj'}", _read(data)
        if not isinstance(data, dict):
            points = _encode.array(data)
            if points.ndim != 2 or points.shape[1] not in (3, 4, 6):
                raise InvalidError(f"points of a scene are N × 3, 4 or 6, not the shape {points.shape}")
            data = points
        return ".pts.json", json.dumps(plain(data)).encode()


class Molecule(Media):
    """A molecule: a file or a stream."""

    kind = "molecules"

    def __init__(
        self, data_or_path: Any, caption: str | None = None, file_type: str | None = None, **more: Any
    ) -> None:
        super().__init__(caption)
        unknown("Molecule", more)
        self._make(
            lambda: (
                (f".{file_type or 'pdb'}", _read(data_or_path))
                if hasattr(data_or_path, "read")
                else _file(data_or_path)
            )
        )


class Plotly(Media):
    """A figure of plotly or matplotlib."""

    kind = "figures"

    def __init__(self, val: Any, **more: Any) -> None:
        super().__init__()
        unknown("Plotly", more)
        self._make(lambda: _files.figure(val))


class Markdown(Media):
    """A text in Markdown."""

    kind = "markdown"

    def __init__(self, text: str, **more: Any) -> None:
        super().__init__()
        unknown("Markdown", more)
        self._made = (".md", str(text).encode())


class Histogram(Media):
    """Counts of values in bins: of a sequence, or numpy's pair of counts and edges."""

    kind = "histograms"

    def __init__(self, sequence: Any = None, np_histogram: Any = None, num_bins: int = 64, **more: Any) -> None:
        super().__init__()
        unknown("Histogram", more)
        self._make(lambda: (".json", self._encode(sequence, np_histogram, num_bins)))

    @staticmethod
    def _encode(values: Any, histogram: Any, bins: int) -> bytes:
        if histogram is None:
            if values is None:
                raise InvalidError("a histogram is of a sequence or of np_histogram=(counts, edges)")
            return _files.histogram(values, bins)
        counts, edges = (plain(part) for part in histogram)
        if len(edges) != len(counts) + 1:
            raise InvalidError(f"a histogram of {len(counts)} counts has {len(counts) + 1} edges, not {len(edges)}")
        return json.dumps({"edges": edges, "counts": counts, "nan": 0, "infinite": 0}).encode()
