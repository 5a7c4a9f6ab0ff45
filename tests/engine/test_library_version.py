from __future__ import annotations

import pytest

from googlenet_edge.engine.library_version import exact_version


def test_the_librarys_build_number_completes_what_the_module_says() -> None:
    module = pytest.importorskip("tensorrt_rtx")
    known = module.__version__.split(".")
    assert len(known) == 4
    assert exact_version("tensorrt_rtx", ".".join(known[:3])) == module.__version__


@pytest.mark.parametrize("version", ["10.3.0.30", "10.3.0", "unknown", ""])
def test_a_version_stays_as_it_is_where_it_is_whole_or_no_library_is_loaded(version: str) -> None:
    assert exact_version("tensorrt", version) == version
