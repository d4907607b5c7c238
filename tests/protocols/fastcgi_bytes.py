"""FastCGI's records, made and recorded.

The recorded ones are what nginx 1.22 with its own fastcgi_params and PHP-FPM 8.2 said, through a proxy; paths are shortened.
"""

from __future__ import annotations

import struct


def record(kind: int, content: bytes = b"", *, number: int = 1, padding: int = 0) -> bytes:
    """One record."""
    return (
        struct.pack(">BBHHBB", 1, kind, number, len(content), padding, 0) + content + bytes(padding)
    )


def begin(*, number: int = 1, role: int = 1, keep: bool = False) -> bytes:
    """BEGIN_REQUEST."""
    return record(1, struct.pack(">HB5x", role, keep), number=number)


def end(*, number: int = 1, status: int = 0) -> bytes:
    """END_REQUEST with a protocolStatus."""
    return record(3, struct.pack(">IB3x", 0, status), number=number)


def size(count: int) -> bytes:
    """The size of a name or value."""
    return bytes((count,)) if count < 0x80 else (count | 0x80000000).to_bytes(4, "big")


def pairs(**values: str | bytes) -> bytes:
    """Parameters."""
    made = b""
    for name, value in values.items():
        data = value if isinstance(value, bytes) else value.encode()
        made += size(len(name)) + size(len(data)) + name.encode() + data
    return made


def request(
    target: str = "/",
    *,
    method: str = "GET",
    body: bytes = b"",
    number: int = 1,
    keep: bool = False,
    **more: str,
) -> bytes:
    """A whole one."""
    told = pairs(REQUEST_METHOD=method, REQUEST_URI=target, HTTP_HOST="shop", **more)
    content = record(5, body, number=number) if body else b""
    return (
        begin(number=number, keep=keep) + record(4, told, number=number, padding=3) + record(4, number=number)
        + content + record(5, number=number)
    )  # fmt: skip


def response(
    body: bytes = b"hello\n", *, head: bytes = b"Content-type: text/html\r\n\r\n", number: int = 1
) -> bytes:
    """A whole one."""
    return record(6, head + body, number=number, padding=5) + end(number=number)


NGINX_ASKS = (
    b"\x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01\x04\x00\x01\x02\x57\x01\x00\x0c\x0dQUERY_STRINGtoken=hunter2"
    b"\x0e\x03REQUEST_METHODGET\x0c\x00CONTENT_TYPE\x0e\x00CONTENT_LENGTH\x0b\x07SCRIPT_NAME/item/7\x0b\x15REQUEST_URI/item/7?token=hunter2"
    b"\x0c\x07DOCUMENT_URI/item/7\x0d\x15DOCUMENT_ROOT/usr/share/nginx/html\x0f\x08SERVER_PROTOCOLHTTP/1.1\x0e\x04REQUEST_SCHEMEhttp"
    b"\x11\x07GATEWAY_INTERFACECGI/1.1\x0f\x0cSERVER_SOFTWAREnginx/1.22.1\x0b\x09REMOTE_ADDR127.0.0.1\x0b\x05REMOTE_PORT54698"
    b"\x0b\x00REMOTE_USER\x0b\x09SERVER_ADDR127.0.0.1\x0b\x05SERVER_PORT19003\x0b\x00SERVER_NAME\x0f\x03REDIRECT_STATUS200"
    b"\x09\x09HTTP_HOST127.0.0.1\x0f\x0aSCRIPT_FILENAME/srv/t.php\x0f\x0bHTTP_USER_AGENTcurl/7.88.1\x0b\x03HTTP_ACCEPT*/*"
    b"\x0b\x09HTTP_COOKIEs=hunter2\x107HTTP_TRACEPARENT00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\x00"
    b"\x01\x04\x00\x01\x00\x00\x00\x00\x01\x05\x00\x01\x00\x00\x00\x00"
)
PHP_ANSWERS = (
    b"\x01\x07\x00\x01\x00\x16\x02\x00PHP message: to stderr\x00\x00\x01\x06\x00\x01\x002\x06\x00Content-type: text/html; charset=UTF-8\r\n"
    b"\r\nhello 0\n\x00\x00\x00\x00\x00\x00\x01\x03\x00\x01\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
)
PHP_DOES_NOT_FIND = (
    b"\x01\x06\x00\x01\x00I\x07\x00Status: 404 Not Found\r\nContent-type: text/html; charset=UTF-8\r\n\r\nhello 7\n"
    b"\x00\x00\x00\x00\x00\x00\x00\x01\x03\x00\x01\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
)
