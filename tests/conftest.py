"""What all tests share: real data where they are there, and a feature cache of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from headstart.pipeline import Base

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line has it; before torch is loaded
if "PYTEST_XDIST_WORKER" in os.environ:  # one thread for each of the processes that share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")
settings.register_profile("headstart", deadline=None)  # a busy machine is not a bug
settings.load_profile("headstart")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and networks that lies beside the project."""
    folder = Path(__file__).parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("no shared data beside the project")
    return folder


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep features of tests out of the user's own cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def calm() -> Iterator[None]:
    """PyTorch on one thread, for a module's tests."""
    from climb_samples import one_thread

    with one_thread():
        yield


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """A tiny run as far as the linear head."""
    from climb_samples import based

    return based(tmp_path_factory.mktemp("base"))
