"""Who may ask: checked before anything else sees a request. A WSGI middleware.

- Only GET and HEAD: nothing that can be asked for changes anything.
- On a loopback address the Host header must name this host, or any page on the web could read the store by letting
  its own name resolve to 127.0.0.1 (DNS rebinding). Elsewhere the token guards against that.
- A browser says when another site's page makes the request (Sec-Fetch-Site, https://www.w3.org/TR/fetch-metadata/);
  such a page may link here, but may not have data read or queries run.
- Every answer forbids scripts, styles and connections from anywhere else, inline ones included.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
HEADERS: Final = (
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)
_CHALLENGE: Final = ("WWW-Authenticate", 'Basic realm="zerospan: any name, the token as password"')

Wsgi = "Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]"


class Guard:
    """Lets requests through to `inner`, or answers in its place."""

    def __init__(self, inner: Any, *, token: str, is_loopback: bool) -> None:
        self._inner = inner
        self._token = token
        self._is_loopback = is_loopback

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """A request."""
        refusal = refused(environ, token=self._token, is_loopback=self._is_loopback)
        if refusal is not None:
            body = f"{refusal[4:]}\n".encode()
            more = [_CHALLENGE] if refusal.startswith("401") else []
            start(
                refusal.partition(":")[0],
                [*HEADERS, *more, ("Content-Type", "text/plain"), ("Content-Length", str(len(body)))],
            )  # fmt: skip
            return [body]

        def begin(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            return start(status, [*headers, *HEADERS], exc_info)

        answer: Iterable[bytes] = self._inner(environ, begin)
        return answer


def refused(environ: Mapping[str, Any], *, token: str, is_loopback: bool) -> str | None:
    """Status and reason, if the request must not go on."""
    if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        return "405 Method Not Allowed: only GET and HEAD are answered"
    if is_loopback and not names_this_host(environ):
        return "403 Forbidden: the Host header does not name this host"
    if environ.get("HTTP_SEC_FETCH_SITE", "none") not in ("none", "same-origin") and not (
        environ.get("HTTP_SEC_FETCH_MODE") == "navigate" and environ.get("PATH_INFO", "/") == "/"
    ):
        return "403 Forbidden: another site's page asked for this"
    if token and not shows(environ.get("HTTP_AUTHORIZATION", ""), token):
        return "401 Unauthorized: show the token, as password or as `Authorization: Bearer`"
    return None


def names_this_host(environ: Mapping[str, Any]) -> bool:
    """Whether the Host header is one that only somebody on this host can mean."""
    return _name(environ.get("HTTP_HOST", "")) in LOCAL_NAMES


def _name(host: str) -> str:
    """The Host header (RFC 9110 §7.2) without its port."""
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdigit() else host.lower()


def shows(authorization: str, token: str) -> bool:
    """Whether an Authorization header holds the token, as a password or by itself."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(value.strip().encode(), token.encode())
