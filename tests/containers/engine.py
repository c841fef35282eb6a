"""A container engine of the tests' own, and a stand-in for the Dockerfile's base image.

No registry of images is asked: the stand-in holds Debian's smallest system and this machine's
CPython, below the official image's name, so that the Dockerfile is built as it is.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.servers import PATIENCE_S, until

BASE = "python:3.11-slim-bookworm"
"""The image that the Dockerfile starts from."""
CERTIFICATES = Path(os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"))
WANTED = ("dockerd", "docker", "containerd", "debootstrap")
"""The programs without which nothing here can be tried."""
PYTHON_LEFT_OUT = ("test", "idlelib", "tkinter", "lib2to3", "site-packages", "__pycache__", "*.a")
PIP = ("pip", "pip-*", "setuptools", "setuptools-*", "_distutils_hack", "pkg_resources")


class Missing(Exception):
    """This machine cannot run containers; the message says why."""


class Docker:
    """The client of one container engine."""

    def __init__(self, socket: Path) -> None:
        self.host = f"unix://{socket}"
        """The address of the engine, as clients find it in DOCKER_HOST."""
        self._command = ["docker", "--host", self.host]

    def __call__(self, *arguments: str, timeout_s: float = 4 * PATIENCE_S) -> str:
        """Return what the client printed, errors too; a failure raises, with its words."""
        done = subprocess.run(
            [*self._command, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stdout}"
        return done.stdout.strip()

    def load_folder(self, folder: Path, image: str, environment: dict[str, str]) -> None:
        """Have what ``folder`` holds as the image ``image``."""
        settings = " ".join(f"{name}={value}" for name, value in environment.items())
        with subprocess.Popen(["tar", "-C", folder, "-c", "."], stdout=subprocess.PIPE) as packed:
            command = [*self._command, "import", "-c", f"ENV {settings}", "-", image]
            subprocess.run(command, stdin=packed.stdout, check=True, capture_output=True)


@contextmanager
def engine() -> Iterator[Docker]:
    """Run a container engine with folders of its own, and without a bridge, as long as this lasts.

    Raises:
        Missing: the machine lacks a program, or does not let the engine run.
    """
    if missing := [name for name in WANTED if shutil.which(name) is None]:
        raise Missing(f"there is no {', '.join(missing)}")
    folder = Path(tempfile.mkdtemp(prefix="carfront-containers-"))
    log = folder / "log"
    limits = '{"default-ulimits": {"nofile": {"Name": "nofile", "Hard": 20000, "Soft": 20000}}}'
    (folder / "daemon.json").write_text(limits)
    socket = folder / "socket"
    command = [
        "dockerd",
        f"--data-root={folder}/data",
        f"--exec-root={folder}/exec",
        f"--host=unix://{socket}",
        f"--pidfile={folder}/pid",
        f"--config-file={folder}/daemon.json",
        "--bridge=none",
        "--iptables=false",
    ]
    with log.open("wb") as output:
        daemon = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        until(lambda: socket.exists() or daemon.poll() is not None)
        docker = Docker(socket)
        try:
            docker("version")
        except AssertionError as error:
            last = log.read_text(errors="replace").splitlines()[-1:]
            raise Missing(f"the engine does not run here: {last}") from error
        yield docker
    finally:
        daemon.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            daemon.wait(PATIENCE_S)
        if daemon.poll() is None:
            os.killpg(daemon.pid, signal.SIGKILL)
            daemon.wait()
        mount = folder / "exec/netns/default"  # the engine leaves it behind
        subprocess.run(["umount", mount], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def make_base(docker: Docker, folder: Path) -> None:
    """Make the stand-in of ``BASE``, in the empty ``folder``.

    Raises:
        Missing: the system's packages cannot be had, or this Python cannot be moved.
    """
    root = folder / "root"
    command = ["debootstrap", "--variant=minbase", "--include=ca-certificates", "bookworm", root]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=4 * PATIENCE_S
    )
    if done.returncode:
        raise Missing(f"debootstrap ended with {done.returncode}: {done.stdout[-200:]}")
    _copy_python(root / "usr/local")
    shutil.rmtree(root / "var/cache/apt", ignore_errors=True)
    shutil.rmtree(root / "var/lib/apt/lists", ignore_errors=True)
    shutil.copy(CERTIFICATES, root / "etc/ssl/certs/ca-certificates.crt")
    subprocess.run(["chroot", root, "ldconfig"], check=True)
    try:
        subprocess.run(["chroot", root, "python", "-c", "import ssl, ctypes, zlib"], check=True)
    except subprocess.CalledProcessError as error:
        raise Missing(f"Python {sys.base_prefix} does not run elsewhere") from error
    certificates = "/etc/ssl/certs/ca-certificates.crt"
    docker.load_folder(
        root,
        BASE,
        {
            "PATH": "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin",
            "PIP_CERT": certificates,
            "SSL_CERT_FILE": certificates,
        },
    )


def _copy_python(prefix: Path) -> None:
    """Copy the Python that runs this, with pip and without any other package, to ``prefix``."""
    own, name = Path(sys.base_prefix), f"python3.{sys.version_info.minor}"
    skipped = shutil.ignore_patterns(*PYTHON_LEFT_OUT)
    shutil.copytree(own / f"lib/{name}", prefix / f"lib/{name}", ignore=skipped, dirs_exist_ok=True)
    for library in own.glob("lib/libpython3*.so*"):
        shutil.copy(library, prefix / "lib", follow_symlinks=False)
    packages = prefix / f"lib/{name}/site-packages"
    packages.mkdir()
    for pattern in PIP:
        for package in (own / f"lib/{name}/site-packages").glob(pattern):
            shutil.copytree(package, packages / package.name)
    shutil.copy(own / f"bin/{name}", prefix / "bin" / name)
    for link in ("python", "python3"):
        (prefix / "bin" / link).symlink_to(name)
