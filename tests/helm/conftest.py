"""Both engines of Helm must be there: a chart that was tested with one of them is half tested."""

import shutil

import pytest
from support import PROGRAMS, PSACHECK, helm


def pytest_configure(config: pytest.Config) -> None:
    missing = [p for p in (*PROGRAMS.values(), PSACHECK) if shutil.which(p) is None]
    if missing:
        raise pytest.UsageError(
            f"not found: {', '.join(missing)}. scripts/helm_tests.sh builds them and names them here"
        )


def pytest_report_header() -> list[str]:
    return [f"helm {engine}: {helm('version', '--short', engine=engine).strip()}" for engine in PROGRAMS]


@pytest.fixture(params=sorted(PROGRAMS), ids=lambda engine: f"helm{engine}")
def engine(request: pytest.FixtureRequest) -> int:
    return request.param
