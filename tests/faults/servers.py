"""Real servers of DVC remotes on this machine: S3 (rclone), SSH (OpenSSH's sshd) and a plain folder.

Each listens on 127.0.0.1 alone, on a port that was free, has keys of its own, touches no home folder and is ended by its process.
Its objects lie as files in `Remote.store`, where a proof damages them.
"""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from isoform.errors import BadInput

KINDS = ("folder", "s3", "ssh")
START_S = 20
ACCESS_KEY, SECRET_KEY = "access-key", "secret-key"


@dataclass
class Remote:
    """A remote as a proof sees it: how .dvc/config names it, and the folder where its objects lie."""

    kind: str
    store: Path
    config: dict[str, str]
    """What .dvc/config holds of it."""
    secrets: dict[str, str] = field(default_factory=dict)
    """What .dvc/config.local holds."""
    process: subprocess.Popen[bytes] | None = None
    port: int = 0

    def path(self, oid: str) -> Path:
        """Return where an object lies."""
        return self.store / "files" / "md5" / oid[:2] / oid[2:]

    def stop(self) -> None:
        """Kill the server and what it started: sshd's process of a connection outlives the one that listens."""
        if self.process and self.process.poll() is None:
            for pid in [self.process.pid, *_descendants(self.process.pid)]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()


def _descendants(pid: int) -> list[int]:
    with contextlib.suppress(FileNotFoundError):
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return [*children, *(each for child in children for each in _descendants(child))]
    return []


def start(kind: str, root: Path, *, read_only: bool = False, port: int = 0) -> Remote:
    """Start a remote whose files lie under `root`. Raises `BadInput` when its program is not installed or does not start."""
    root.mkdir(parents=True, exist_ok=True)
    return {"folder": _folder, "s3": _s3, "ssh": _ssh}[kind](root, read_only, port)


def _folder(root: Path, read_only: bool, _: int) -> Remote:
    store = root / "store"
    store.mkdir(exist_ok=True)
    if read_only:
        for folder in (store, *(path for path in store.rglob("*") if path.is_dir())):
            folder.chmod(0o555)
    return Remote("folder", store, {"url": str(store)})


def _s3(root: Path, read_only: bool, port: int) -> Remote:
    store = root / "served" / "bucket" / "isoform"
    store.mkdir(parents=True, exist_ok=True)
    # What is damaged in the folder must show at once: with 0, rclone 1.75 spins and takes seconds for each object.
    command = [_program("rclone"), "serve", "s3", "--dir-cache-time=50ms", f"--auth-key={ACCESS_KEY},{SECRET_KEY}"]
    command += [f"--config={root / 'rclone.conf'}", *(["--read-only"] if read_only else []), str(root / "served")]
    process, port = _listening(lambda free: [*command, f"--addr=127.0.0.1:{free}"], root, port)
    config = {"url": "s3://bucket/isoform", "endpointurl": f"http://127.0.0.1:{port}", "region": "us-east-1"}
    secrets = {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}
    return Remote("s3", store, config, secrets, process, port)


def _ssh(root: Path, read_only: bool, port: int) -> Remote:
    store = root / "store"
    store.mkdir(exist_ok=True)
    for name in ("host", "user"):
        if not (root / name).exists():
            keygen = [_program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(root / name)]
            subprocess.run(keygen, check=True, capture_output=True)
    shutil.copy(root / "user.pub", root / "authorized_keys")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd refuses to start as root without it, and only an init system makes it
    settings = {
        "ListenAddress": "127.0.0.1",
        "HostKey": root / "host",
        "AuthorizedKeysFile": root / "authorized_keys",
        "PidFile": "none",
        "StrictModes": "no",  # the folder of a test belongs to whoever runs it
        "UsePAM": "no",
        "PermitRootLogin": "prohibit-password",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "MaxStartups": "100",
        "Subsystem": f"sftp internal-sftp{' -R' if read_only else ''}",
    }
    (root / "sshd_config").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    sshd = [_program("sshd"), "-D", "-e", "-f", str(root / "sshd_config")]
    process, port = _listening(lambda free: [*sshd, "-p", str(free)], root, port)
    config = {"url": f"ssh://127.0.0.1{store}", "port": str(port), "user": getpass.getuser()}
    return Remote("ssh", store, config, {"keyfile": str(root / "user")}, process, port)


def _listening(command: Callable[[int], list[str]], root: Path, port: int) -> tuple[subprocess.Popen[bytes], int]:
    """Start a server and wait until it listens; another free port is tried when somebody was faster."""
    for _ in range(5):
        chosen = port or free_port()
        with (root / "server.log").open("ab") as log:
            # The kernel ends the server when whoever started it is killed.
            ended = [_program("setpriv"), "--pdeathsig=KILL", *command(chosen)]
            process = subprocess.Popen(ended, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        until = time.monotonic() + START_S
        while process.poll() is None and time.monotonic() < until:
            if _answers(chosen):
                return process, chosen
            time.sleep(0.05)
        if process.poll() is None:
            process.kill()
            process.wait()
    log_end = (root / "server.log").read_text(errors="replace").strip().splitlines()[-1:]
    raise BadInput(command(0)[0], f"did not start ({' '.join(log_end)})", f"see {root / 'server.log'}")


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _program(name: str) -> str:
    # rclone comes with the environment; sshd lies where PATH of a user who is not root does not lead.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}{os.pathsep}/usr/sbin"
    found = shutil.which(name, path=path)
    if not found:
        raise BadInput(name, "is not installed", "run .ci/programs and 'make test'")
    return found


@contextlib.contextmanager
def throttled(port: int, bytes_per_s: int) -> Iterator[int]:
    """Give a port that forwards to `port`, slowly."""
    with contextlib.ExitStack() as stack, socket.create_server(("127.0.0.1", 0)) as listener:

        def pump(source: socket.socket, target: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(2048):
                    target.sendall(data)
                    time.sleep(len(data) / bytes_per_s)
            for end in (source, target):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

        def accept() -> None:
            with contextlib.suppress(OSError):  # until the listener is closed
                while True:
                    client = stack.enter_context(listener.accept()[0])
                    try:
                        server = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                    except OSError:
                        client.close()
                        continue
                    for pair in ((client, server), (server, client)):
                        threading.Thread(target=pump, args=pair, daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """Give a port that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]
