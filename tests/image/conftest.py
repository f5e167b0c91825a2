"""The root of the image, which the tests share."""

import os
import shutil
import tempfile
from pathlib import Path

import container
import dockerfile
import pytest
import support
from compose import loader, project  # noqa: F401


@pytest.fixture(scope="session")
def image():
    container.need_sandbox()
    container.need_apt()
    binary = support.server_binary()
    folder = Path(tempfile.mkdtemp(prefix="rae-image-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        cache = Path(os.environ.get("RAE_IMAGE_TEST_CACHE", dockerfile.ROOT / ".build/image-debs"))
        names = container.assemble(folder / "root", binary, cache)
        assert {"libc6", "bash", "coreutils", "dpkg", *dockerfile.read()[1][-1].packages()} <= set(names)
        yield container.Container(folder / "root", folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def leave_nothing_running(request):
    """What a test started and did not stop, as it failed, is stopped here."""
    started = []
    if "image" in request.fixturenames and (box := request.getfixturevalue("image")):
        original = box.start

        def start(*arguments, **named):
            started.append(original(*arguments, **named))
            return started[-1]

        box.start = start
        yield
        box.start = original
    else:
        yield
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()
