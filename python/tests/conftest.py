from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytest_plugins = ["pytester"]


@pytest.fixture(scope="session")
def source() -> Callable[[str], Path]:
    """Returns a function that finds the source distribution of a package.

    scripts/python.sh downloads them and sets SOURCES.
    """

    def find(package: str) -> Path:
        place = os.environ.get("SOURCES")
        if place is None:
            pytest.skip("SOURCES does not name a directory of source distributions")
        (found,) = (path for path in Path(place).glob(f"{package}-*") if path.is_dir())
        return found

    return find
