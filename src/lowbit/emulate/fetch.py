"""Fetching what a board needs from Debian's archive into a folder of our own; the system stays as it is.

apt-get does the work with a root of its own: it verifies the signature of the release and the SHA-256 of every
package.  Packages are unpacked with dpkg-deb, not installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lowbit.emulate.board_files import LEAST_QEMU, board_folder, find_kernel, find_system_qemu
from lowbit.errors import LowbitError, ToolMissing

__all__ = ["DTBS", "FetchError", "setup_board"]

MIRROR = "http://deb.debian.org/debian"
KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SUITE = "bookworm"  # its kernel is the one the boards were tried with
DTBS = ("bcm2711-rpi-4-b.dtb", "bcm2837-rpi-3-b.dtb")
_SCRIPT = """\
#!/bin/sh
here=$(cd "$(dirname "$0")" && pwd)
for folder in "$here"/usr/lib/*-linux-gnu "$here"/lib/*-linux-gnu; do
    LD_LIBRARY_PATH="$LD_LIBRARY_PATH${LD_LIBRARY_PATH:+:}$folder"
done
export LD_LIBRARY_PATH
exec "$here/usr/bin/qemu-system-aarch64" -L "$here/usr/share/qemu" "$@"
"""
_TIMEOUT = 900  # seconds of one call of apt-get


class FetchError(LowbitError):
    """The archive cannot be reached, or what it gave cannot be used."""


def _codename() -> str:
    try:
        text = Path("/etc/os-release").read_text()
    except OSError:
        return ""
    found = re.search(r'^VERSION_CODENAME="?(\w+)', text, re.MULTILINE)
    return found[1] if found and re.search(r'^ID="?debian', text, re.MULTILINE) else ""


@dataclass(frozen=True)
class _Apt:
    """apt-get with all its state below ``root``."""

    root: Path

    def prepare(self, sources: list[str]) -> None:
        for name in ("lists/partial", "cache/archives/partial", "empty"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        (self.root / "sources.list").write_text("\n".join(sources) + "\n")
        status = Path("/var/lib/dpkg/status")  # what is installed need not be fetched
        (self.root / "status").write_bytes(status.read_bytes() if status.exists() else b"")
        settings = {
            "Dir::State": self.root,
            "Dir::State::lists": self.root / "lists",
            "Dir::State::status": self.root / "status",
            "Dir::Cache": self.root / "cache",
            "Dir::Etc": self.root / "empty",
            "Dir::Etc::sourcelist": self.root / "sources.list",
            "Dir::Etc::sourceparts": self.root / "empty",
            "Dir::Etc::parts": self.root / "empty",
            "Dir::Etc::preferencesparts": self.root / "empty",
            "Acquire::Languages": "none",
            "Acquire::Retries": "2",
            "Acquire::http::Timeout": "20",
        }
        lines = [f'{key} "{value}";' for key, value in settings.items()]
        lines.append(f'APT::Architectures {{ "{_debian_machine()}"; "arm64"; }};')
        if os.geteuid() == 0:
            lines.append('APT::Sandbox::User "root";')
        (self.root / "apt.conf").write_text("\n".join(lines) + "\n")

    def run(self, program: str, *arguments: str) -> str:
        env = {**os.environ, "APT_CONFIG": str(self.root / "apt.conf"), "LC_ALL": "C"}
        try:
            done = subprocess.run(
                [program, *arguments],
                env=env,
                cwd=self.root,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            raise FetchError(f"{program} {' '.join(arguments)} did not end within {_TIMEOUT} s") from None
        if done.returncode or "Failed to fetch" in done.stderr:
            said = " ".join(line for line in done.stderr.splitlines() if line.startswith(("E:", "W: Failed", "Err:")))
            raise FetchError(f"{MIRROR} cannot be used: {said[:400] or done.stderr.strip()[-400:]}; is this machine offline?")
        return done.stdout


def _debian_machine() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


def _has_qemu() -> bool:
    try:
        find_system_qemu()
    except ToolMissing:
        return False
    return True


def _has_kernel() -> bool:
    try:
        return all(find_kernel(name) for name in DTBS)
    except ToolMissing:
        return False


def setup_board(say: Callable[[str], None] = lambda _: None) -> Path:
    """Fetch QEMU (unless a new enough one is there) and a Linux kernel into :func:`board_folder`; what is there stays.

    ``say`` hears one line about each step.  Raises ToolMissing where Debian's tools are not there, FetchError (offline, ...).
    """
    folder = board_folder()
    qemu, kernel = _has_qemu(), _has_kernel()
    if qemu and kernel:
        say(f"everything is there: {folder}")
        return folder
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise ToolMissing(
                f"{tool} fetches the board's files from Debian's archive and is not installed; use Debian 12 or newer"
            )
    if not KEYS.exists():
        raise ToolMissing(f"the keys of Debian's archive ({KEYS}) are missing: apt-get install debian-archive-keyring")
    if not qemu and _codename() != SUITE:
        raise ToolMissing(
            f"install QEMU {LEAST_QEMU} or newer (apt-get install qemu-system-arm); only on Debian 12 it is fetched"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="apt-", dir=folder) as name:
        apt = _Apt(Path(name))
        signed = f"signed-by={KEYS}"
        sources = [f"deb [arch=arm64 {signed}] {MIRROR} {SUITE} main"]
        if not qemu:
            here = f"arch={_debian_machine()} {signed}"
            sources += [f"deb [{here}] {MIRROR} {suite} main" for suite in (SUITE, f"{SUITE}-backports")]
        apt.prepare(sources)
        say(f"reading the lists of {MIRROR}")
        apt.run("apt-get", "update")
        sums: dict[str, str] = {}
        if not qemu:
            say("fetching QEMU and its libraries (20 MB)")
            sums |= _fetch_qemu(apt, folder / "qemu")
        if not kernel:
            say("fetching a Linux kernel (60 MB, of which 33 are kept)")
            sums |= _fetch_kernel(apt, folder / "kernel")
        record = folder / "packages.json"
        known = json.loads(record.read_text()) if record.exists() else {}
        record.write_text(json.dumps({**known, **sums}, indent=1) + "\n")
    say(f"done: {folder}")
    return folder


def _sums(packages: list[Path]) -> dict[str, str]:
    """SHA-256 of what apt-get has verified, for the record."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in packages}


def _fetch_qemu(apt: _Apt, to: Path) -> dict[str, str]:
    apt.run(
        "apt-get", "install", "-y", "--download-only", "--no-install-recommends", "-t", f"{SUITE}-backports", "qemu-system-arm"
    )
    packages = sorted((apt.root / "cache/archives").glob("*.deb"))
    with tempfile.TemporaryDirectory(prefix="new-", dir=to.parent) as name:
        for package in packages:
            apt.run("dpkg-deb", "-x", str(package), name)
        for program in (Path(name) / "usr/bin").iterdir():
            if program.name != "qemu-system-aarch64":
                program.unlink()
        (Path(name) / "qemu-system-aarch64").write_text(_SCRIPT)
        (Path(name) / "qemu-system-aarch64").chmod(0o755)
        _put(Path(name), to)
    return _sums(packages)


def _put(folder: Path, to: Path) -> None:
    """Move what is complete to its place; an empty ``folder`` stays behind for its context manager."""
    folder.chmod(0o755)
    shutil.rmtree(to, ignore_errors=True)
    folder.rename(to)
    folder.mkdir()


def _fetch_kernel(apt: _Apt, to: Path) -> dict[str, str]:
    depends = apt.run("apt-cache", "depends", "linux-image-arm64:arm64")
    found = re.search(r"Depends: (linux-image-[\w.+-]+-arm64)", depends)
    if found is None:
        raise FetchError(f"linux-image-arm64 of {SUITE} names no kernel package")
    apt.run("apt-get", "download", f"{found[1]}:arm64")
    (package,) = apt.root.glob("linux-image-*.deb")
    with tempfile.TemporaryDirectory(prefix="new-", dir=to.parent) as name:
        _unpack_kernel(package, Path(name))
        _put(Path(name), to)
    return _sums([package])


def _unpack_kernel(package: Path, to: Path) -> None:
    """vmlinuz and the device trees; modules are not needed."""
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as reader,
        tarfile.open(fileobj=reader.stdout, mode="r|") as archive,
    ):
        for member in archive:
            base = Path(member.name).name
            name = "vmlinuz" if base.startswith("vmlinuz-") else base if base in DTBS else ""
            content = archive.extractfile(member) if name and member.isfile() else None
            if content is not None:
                (to / name).write_bytes(content.read())
    missing = [name for name in ("vmlinuz", *DTBS) if not (to / name).exists()]
    if reader.returncode or missing:
        raise FetchError(f"{package.name} holds no {', '.join(missing) or 'readable archive'}")
