"""Where our own HTTP servers listen by the settings."""

import errno
import os
import socket
from typing import NamedTuple

from cli.http_server import host_and_port, listening_socket
from cli.settings import PREFIX, Settings, SettingsError

_HOST = f"{PREFIX}HTTP_HOST"


class CannotListenError(SettingsError):
    """This process cannot listen there; the text names the cause, the variable and the remedy."""


class Place(NamedTuple):
    """An address to listen on, and the words for its errors."""

    host: str
    port: int
    """0 is a free one."""
    serves: str
    variable: str
    """The setting that holds the port."""


def http_place(settings: Settings) -> Place:
    """The address of the HTTP side."""
    port = settings.http_port or 0
    return Place(settings.http_host, port, "the HTTP side", f"{PREFIX}HTTP_PORT")


def health_place(host: str, port: int) -> Place:
    """The address of the health endpoints."""
    return Place(host, port, "the health endpoints", f"{PREFIX}HEALTH_PORT")


def refuse_one_port(settings: Settings) -> None:
    """Raise `SettingsError` if the HTTP side and the health endpoints have the same port."""
    if settings.http_port is not None and settings.http_port == settings.health_port:
        raise SettingsError(
            f"{PREFIX}HTTP_PORT and {PREFIX}HEALTH_PORT are both {settings.http_port}. Remedy: set "
            f"one of them to another port, or unset {PREFIX}HEALTH_PORT: the HTTP side also serves "
            "/live and /ready"
        )


def listener_at(place: Place) -> socket.socket:
    """A listening socket. Raises `CannotListenError`."""
    try:
        return listening_socket(place.host, place.port)
    except (OSError, UnicodeError) as error:
        reason = _reason(place, error)
        raise CannotListenError(f"{place.serves} cannot be served: {reason}") from error


def _reason(place: Place, error: OSError | UnicodeError) -> str:
    where = host_and_port(place.host, place.port)
    if isinstance(error, socket.gaierror | UnicodeError):
        return (
            f"the host name {place.host} is not known. Remedy: set {_HOST} to an address of this "
            "machine, such as 127.0.0.1"
        )
    if error.errno == errno.EADDRINUSE:
        return (
            f"another process listens on {where}. Remedy: stop that one, or set {place.variable} "
            "to a free port"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return (
            f"{place.host} is not an address of this machine. Remedy: set {_HOST} to one, such as "
            "127.0.0.1, or to 0.0.0.0 or :: for all"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"this user may not listen on {where}. Remedy: set {place.variable} to a port from "
            "1024 to 65535"
        )
    cause = error.strerror if error.errno is None else os.strerror(error.errno)
    return f"{where}: {cause}. Check {place.variable} and {_HOST}"
