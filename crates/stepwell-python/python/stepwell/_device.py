"""Scalars that stay on their device until many of them cross at once, so that training does not wait for each."""

from __future__ import annotations

import time
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class DeviceBuffer:
    """Collects scalars of several metrics, one row a step. `Run.device_buffer` makes one.

    A tensor on a GPU is copied into a buffer there, without a wait. When the buffer is full, it crosses to the host
    by one asynchronous copy while the next one fills, and is logged when that one is full. What a killed process had
    not logged yet is lost: up to two buffers. `flush` logs all; `run.finish()` flushes too.
    """

    def __init__(self, run: Any, keys: list[str], every: int):
        if every < 1:
            raise ValueError("a buffer holds at least one step")
        if not keys or len(set(keys)) != len(keys):
            raise ValueError("a buffer has at least one metric, and each once")
        self.keys = list(keys)
        self.every = every
        self._run = weakref.ref(run)
        self._steps: list[int] = []
        self._times: list[int] = []
        # On the host: rows of floats. Of tensors: a `_Tensors` of their device.
        self._rows: list[list[float]] = []
        self._tensors: _Tensors | None = None

    def put(self, step: int, *values: Any) -> None:
        """Takes the values of one step, in the order of the keys: tensors of one element, or numbers."""
        try:
            self._put(step, values)
        except Exception as error:
            run = self._run()
            if run is None:
                raise
            run._lose(len(self.keys), error)

    def _put(self, step: int, values: tuple) -> None:
        if len(values) != len(self.keys):
            raise ValueError(f"{len(self.keys)} values are expected, one for each of {self.keys}, not {len(values)}")
        # A tensor of any library that can write one into another without a wait.
        if all(hasattr(value, "copy_") and hasattr(value, "device") for value in values):
            self._put_tensors(values)
        else:
            if self._tensors is not None:
                self.flush()
            self._rows.append([float(value) for value in values])
        self._steps.append(step)
        self._times.append(int(time.time() * 1000))
        if len(self._steps) == self.every:
            self._turn()

    def flush(self) -> None:
        """Logs all that was taken so far; waits for the device."""
        self._turn()
        if self._tensors is not None:
            self._log_pending()
            self._tensors = None

    def _put_tensors(self, values: tuple) -> None:
        device = values[0].device
        if self._rows or (self._tensors is not None and self._tensors.device != device):
            self.flush()
        if self._tensors is None:
            self._tensors = _Tensors(device, self.every, len(self.keys))
        self._tensors.put(len(self._steps), values)

    def _turn(self) -> None:
        """Sends what is full on its way, and logs what was sent before."""
        if not self._steps:
            return
        steps, times, self._steps, self._times = self._steps, self._times, [], []
        if self._tensors is None:
            columns = list(zip(*self._rows, strict=True))
            self._rows = []
            self._log(steps, times, columns)
            return
        before = self._tensors.pending
        self._tensors.send(steps, times)
        if before is not None:
            self._log(*before.arrived())

    def _log_pending(self) -> None:
        pending, self._tensors.pending = self._tensors.pending, None
        if pending is not None:
            self._log(*pending.arrived())

    def _log(self, steps, times, columns) -> None:
        run = self._run()
        if run is None:
            return
        failed = None
        for key, column in zip(self.keys, columns, strict=True):
            try:
                run.columns(key, steps, column, times_ms=times)
            except Exception as error:
                # Raised by a strict run, which has counted it; the other metrics are kept.
                failed = failed or error
        if failed is not None:
            raise failed


class _Tensors:
    """Two buffers on a device: one fills while the other crosses to the host."""

    def __init__(self, device: Any, every: int, width: int):
        import torch

        self.torch, self.device = torch, device
        make = lambda: torch.empty((every, width), dtype=torch.float64, device=device)
        self.buffers = [make(), make()]
        pinned = device.type == "cuda"
        self.hosts = [torch.empty((every, width), dtype=torch.float64, pin_memory=pinned) for _ in range(2)]
        self.at = 0
        self.pending: _Pending | None = None

    def put(self, row: int, values: tuple) -> None:
        target = self.buffers[self.at][row]
        for place, value in enumerate(values):
            target[place].copy_(value.detach().reshape(()), non_blocking=True)

    def send(self, steps: list[int], times: list[int]) -> None:
        buffer, host = self.buffers[self.at], self.hosts[self.at]
        host.copy_(buffer, non_blocking=True)
        event = None
        if self.device.type == "cuda":
            event = self.torch.cuda.Event()
            event.record(self.torch.cuda.current_stream(self.device))
        self.pending = _Pending(steps, times, host, event)
        self.at = 1 - self.at


class _Pending:
    """Rows that are crossing."""

    def __init__(self, steps, times, host, event):
        self.steps, self.times, self.host, self.event = steps, times, host, event

    def arrived(self):
        if self.event is not None:
            self.event.synchronize()
        columns = self.host[: len(self.steps)].T.contiguous().numpy()
        return self.steps, self.times, [column.copy() for column in columns]
