"""Pictures inside Parquet files: read when asked for, a few rows at a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROWS = 32  # in one batch
_BATCHES = 8  # kept: threads that work in order stay within so many rows of each other


@dataclass(frozen=True)
class _Batch:
    group: int
    start: int
    values: Any

    def holds(self, group: int, row: int) -> bool:
        return self.group == group and self.start <= row < self.start + len(self.values)


class ParquetCells:
    """The binary values of one column. Thread-safe; in memory are some hundred rows, however large the file.

    Reading in row order costs one pass. A jump ahead skips through its row group, a jump back starts the
    group anew.

    Args:
        path: the Parquet file.
        column: dotted path of a binary column, such as `image.bytes`.
    """

    def __init__(self, path: Path, column: str) -> None:
        self._path, self._column = path, column
        self._lock = threading.Lock()
        self._file: Any = None
        self._starts: list[int] = []
        self._recent: deque[_Batch] = deque(maxlen=_BATCHES)
        self._ahead: Iterator[_Batch] = iter(())
        self._at: tuple[int, int] = (-1, 0)  # the row group being read, and the first row not yet read in it

    def read(self, row: int) -> bytes:
        """Return the bytes in a row.

        Raises:
            OSError: the file cannot be read, or the cell is empty.
        """
        with self._lock:
            value = self._value(row)
        if value is None:
            raise OSError(f"row {row + 1} of {self._path.name} holds no bytes")
        return value

    def _value(self, row: int) -> bytes | None:
        self._open()
        group = max(g for g, start in enumerate(self._starts) if start <= row)
        row -= self._starts[group]
        for batch in self._recent:
            if batch.holds(group, row):
                return _plain(batch.values, row - batch.start)
        if self._at[0] != group or self._at[1] > row:
            self._at = (group, 0)
            self._ahead = self._batches(group)
        for batch in self._ahead:
            self._recent.append(batch)
            self._at = (group, batch.start + len(batch.values))
            if batch.holds(group, row):
                return _plain(batch.values, row - batch.start)
        raise OSError(f"{self._path.name} ends before row {row + 1} of its group {group + 1}")

    def _open(self) -> None:
        if self._file is not None:
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            self._file = pq.ParquetFile(self._path, memory_map=True, pre_buffer=False)
        except pa.ArrowException as error:
            raise OSError(f"{self._path.name}: {error}") from error
        start = 0
        for group in range(self._file.num_row_groups):
            self._starts.append(start)
            start += self._file.metadata.row_group(group).num_rows

    def _batches(self, group: int) -> Iterator[_Batch]:
        import pyarrow as pa

        start = 0
        try:
            for batch in self._file.iter_batches(_ROWS, row_groups=[group], columns=[self._column]):
                values = batch.column(0)
                yield _Batch(group, start, values)
                start += len(values)
        except pa.ArrowException as error:
            raise OSError(f"{self._path.name}: {error}") from error


def _plain(values: Any, i: int) -> bytes | None:
    value: Any = values[i].as_py()
    while isinstance(value, dict):  # a struct of which one field was read
        value = next(iter(value.values()), None)
    return None if value is None else bytes(value)
