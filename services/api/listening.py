"""The gateway's socket, bound before anything else is done, so that a taken port is one clear line at start."""

from __future__ import annotations

import resource
import socket

from services.jobs.settings import SettingsError

_BACKLOG = 2048
# Redis, spool, log and audit beside the connections; an upload has its connection and a file.
_OTHER_FILES = 512


def listen(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket; port 0 takes a free one.

    Raises
    ------
    SettingsError
        If the address is not this machine's, or the port is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise SettingsError(f"cannot listen on {host}: {error.strerror}") from error
    except UnicodeError as error:
        raise SettingsError(f"CXR_API_HOST is no address and no host's name: {host}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise SettingsError(f"cannot listen on {host} port {port}: {error.strerror}") from error
    return listener


def inherit(descriptor: int) -> socket.socket:
    """Return a listening socket that whoever started this process has bound; raise ``SettingsError`` if it is none."""
    try:
        listener = socket.socket(fileno=descriptor)
        is_listening = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise SettingsError(f"--fd {descriptor} is no socket: {error.strerror}") from error
    if not is_listening:
        listener.close()
        raise SettingsError(f"--fd {descriptor} is a socket that does not listen")
    return listener


def host_of(listener: socket.socket) -> str:
    """Return the address that a socket is bound to; of a UNIX socket its path, which is nobody's loopback."""
    name = listener.getsockname()
    return str(name[0]) if isinstance(name, tuple) else str(name)


def open_files_for(connections: int) -> int:
    """Let this process open as many files as it may; return how many of ``connections`` that suffices for.

    Without a file left for it, a connection is neither answered nor refused: it hangs.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return connections if soft == resource.RLIM_INFINITY else max(1, min(connections, soft - _OTHER_FILES))


def url_of(listener: socket.socket) -> str:
    """Return the URL at which a listening socket is reached from this machine."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - an address to compare with, not to bind
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
