"""What a request carries: a form, JSON, files, or bytes as they come."""

from __future__ import annotations

import io
import json as jsonlib
import mimetypes
import os
import secrets
from typing import Any, Iterator, List, Mapping, Optional, Tuple
from urllib.parse import urlencode

from ._wire import Buffer
from .errors import UsageError

_CHUNK = 1 << 16


def pairs(params: Any) -> List[Tuple[str, Any]]:
    if params is None:
        return []
    items = list(params.items()) if isinstance(params, Mapping) else list(params)
    return [(str(name), value) for name, value in items if value is not None]


def made(data: Any, json: Any, files: Any) -> Tuple[Optional[List[Any]], Optional[int], str]:
    """The parts of a body, its length if that is known, and its type."""
    if files:
        return _multipart(data, files)
    if json is not None and not data:
        text = jsonlib.dumps(json, allow_nan=False).encode()
        return [text], len(text), "application/json"
    if data is None:
        return None, None, ""
    if isinstance(data, (Mapping, list, tuple)):
        text = urlencode(pairs(data), doseq=True).encode()
        return [text], len(text), "application/x-www-form-urlencoded"
    if isinstance(data, str):
        data = data.encode("utf-8")
    if isinstance(data, (bytes, bytearray, memoryview)):
        return [data], memoryview(data).nbytes, ""
    return [data], _size(data), ""


def _size(data: Any) -> Optional[int]:
    """The bytes that are left of a file; None for what does not say."""
    try:
        at = data.tell()
        end = data.seek(0, io.SEEK_END)
        data.seek(at)
    except (AttributeError, OSError):
        return None
    return int(end - at)


def parts(body: Optional[List[Any]]) -> Optional[Iterator[Buffer]]:
    return None if body is None else _each(body)


def _each(body: List[Any]) -> Iterator[Buffer]:
    for part in body:
        if isinstance(part, (bytes, bytearray, memoryview)):
            yield part
        elif hasattr(part, "read"):
            while True:
                chunk = part.read(_CHUNK)
                if not chunk:
                    break
                yield chunk.encode("utf-8") if isinstance(chunk, str) else chunk
        else:
            for chunk in part:
                yield chunk.encode("utf-8") if isinstance(chunk, str) else chunk


def _multipart(data: Any, files: Any) -> Tuple[List[Any], Optional[int], str]:
    """A form with files in it (RFC 7578). Files are sent as they are read."""
    boundary = secrets.token_hex(16)
    parts: List[Any] = []
    for name, value in pairs(data):
        for v in value if isinstance(value, (list, tuple)) else [value]:
            text = v if isinstance(v, bytes) else str(v).encode("utf-8")
            parts += [_part_head(boundary, name, None, None), text, b"\r\n"]
    for name, value in pairs(files):
        filename, content, kind = _file(name, value)
        parts += [_part_head(boundary, name, filename, kind), content, b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    sizes = [memoryview(p).nbytes if isinstance(p, (bytes, bytearray, memoryview)) else _size(p) for p in parts]
    length = None if None in sizes else sum(n for n in sizes if n is not None)
    return parts, length, f"multipart/form-data; boundary={boundary}"


def _file(name: str, value: Any) -> Tuple[str, Any, str]:
    """FILE, (filename, FILE) or (filename, FILE, type)."""
    filename, content, kind = "", value, ""
    if isinstance(value, (tuple, list)):
        filename, content = value[0], value[1]
        kind = value[2] if len(value) > 2 else ""
    if isinstance(content, os.PathLike):
        filename = filename or os.path.basename(content)
        with open(content, "rb") as f:
            content = f.read()
    if not filename:
        own = getattr(content, "name", "")
        filename = os.path.basename(own) if isinstance(own, str) and own else name
    if isinstance(content, str):
        content = content.encode("utf-8")
    return filename, content, kind or mimetypes.guess_type(filename)[0] or "application/octet-stream"


def _part_head(boundary: str, name: str, filename: Optional[str], kind: Optional[str]) -> bytes:
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"'
    if filename is not None:
        head += f'; filename="{_quoted(filename)}"\r\nContent-Type: {_plain(kind or "")}'
    return (head + "\r\n\r\n").encode("utf-8")


def _quoted(text: str) -> str:
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _plain(kind: str) -> str:
    if "\r" in kind or "\n" in kind:
        raise UsageError("a type of a file with line breaks in it", nothing_sent=True)
    return kind
