"""What can go wrong, each kind an exception of its own.

None is masked by another: what the verifier saw and what it expected arrive as it said
them, with the number that ``blindbox explain`` and docs/errors explain.
"""

from __future__ import annotations

import re
from typing import Any, Dict, Mapping, Optional, Tuple, Type

_LONGEST = 2000  # characters of a text that are shown


class BlindBoxError(Exception):
    """The root of every exception of this package.

    Attributes:
        code: the number of docs/errors, ``BBX-221``; "" where there is none.
        reason: the same for machines, ``key_mismatch``.
        title, seen, expected, fix, page: as ``blindbox`` prints them.
        also: further checks that failed.
        nothing_sent: true if nothing of the request has left this machine. False says
            that it is not known.
    """

    def __init__(
        self,
        message: str = "",
        *,
        code: str = "",
        reason: str = "",
        area: str = "",
        seen: str = "",
        expected: str = "",
        fix: str = "",
        page: str = "",
        also: Tuple[Mapping[str, Any], ...] = (),
        nothing_sent: bool = False,
    ) -> None:
        super().__init__(message)
        self.title = message
        self.code = code
        self.reason = reason
        self.area = area
        self.seen = seen
        self.expected = expected
        self.fix = fix
        self.page = page
        self.also = also
        self.nothing_sent = nothing_sent

    def __str__(self) -> str:
        head = " ".join(part for part in (self.code, self.title) if part)
        lines = [_line(head) or type(self).__name__]
        for name, text in (("seen", self.seen), ("expected", self.expected)):
            if text:
                lines.append(f"  {name:<10} {_line(text)}")
        if self.nothing_sent:
            lines.append("  nothing was sent.")
        if self.fix:
            lines.append(f"  {'fix':<10} {_line(self.fix)}")
        return "\n".join(lines)


def _line(text: str) -> str:
    """A text in one line, and without what a terminal obeys: the words of a box must not
    look like a line of this package's own, such as that nothing was sent."""
    return "".join(c if c.isprintable() else " " for c in text[:_LONGEST])


class UsageError(BlindBoxError, ValueError):
    """A call, a file or a setting on this side is wrong; no box was asked."""


class WrongType(UsageError, TypeError):
    """A value of a type that this call does not take."""


class AttestationError(BlindBoxError):
    """The box was refused: it is not what the trust file accepts. Nothing was sent."""


class PartlyVerified(AttestationError):
    """What was checked held, and not everything could be checked. Nothing was sent."""


class Unavailable(BlindBoxError, ConnectionError):
    """There was nothing to judge: no answer, or no evidence. Nothing was sent."""


class ConnectionLost(Unavailable):
    """The connection ended before the answer did; the request may have arrived."""


class Timeout(BlindBoxError, TimeoutError):
    """Nothing came for as long as the caller would wait; the request may have arrived."""


class AnswerTooLarge(BlindBoxError):
    """The answer is larger than what its reader would hold in memory; the request has arrived."""

    @classmethod
    def than(cls, most: Optional[int]) -> "AnswerTooLarge":
        return cls(
            f"the answer is larger than {most} bytes, and was not read",
            fix="Read it as it comes (stream=True), or give a larger max_bytes=.",
        )


class ReceiptError(BlindBoxError):
    """The call was answered, and there is no receipt for it, or one that is about another.

    Attributes:
        answer: what the call would have returned, without a receipt.
    """

    answer: Any = None


class SidecarError(BlindBoxError):
    """The program ``blindbox``, through which all goes, is missing or broken."""


class BoxError(BlindBoxError):
    """A box that was verified answered with a refusal.

    Attributes:
        status: of HTTP. message: what the box said. response: the answer, where the call
            gives answers (``blindbox.requests``). receipt: for the refusal, if one was asked for.
    """

    receipt: Any = None

    def __init__(self, message: str = "", *, status: int = 0, response: Any = None, **more: Any) -> None:
        super().__init__(message, **more)
        self.status = status
        self.message = message
        self.response = response

    def __str__(self) -> str:
        return f"{self.status}: {super().__str__()}" if self.status else super().__str__()


class InvalidRequest(BoxError, ValueError):
    """The box cannot do this with what it was sent: names, types, shapes, sizes."""


class Unauthenticated(BoxError):
    """The box does not know the caller."""


class PolicyDenied(BoxError, PermissionError):
    """The box's policy does not allow it, or the model is another caller's."""


class NotFound(BoxError, LookupError):
    """There is no such model, or it is another caller's."""


class Conflict(BoxError):
    """It is not possible in this state: a pinned model, an upload at another byte."""


class ModelRefused(BoxError):
    """The file is no model that the box can run; the message has the reason."""


class QuotaExceeded(BoxError):
    """A quota of the caller, or more than the box ever has."""


class Busy(BoxError):
    """Not at this moment. ``retry_after`` is in seconds."""

    def __init__(self, message: str = "", *, retry_after: float = 1.0, **more: Any) -> None:
        super().__init__(message, **more)
        self.retry_after = retry_after


class DeadlineExceeded(BoxError):
    """It took longer than the box allows."""


class SimulationModeWarning(UserWarning):
    """The box is simulated: no hardware protects anything in it."""


# Stages of the tool, which are its exit codes.
_STAGES: Dict[int, Type[BlindBoxError]] = {1: UsageError, 2: AttestationError, 3: Unavailable, 4: PartlyVerified}

_STATUS: Dict[int, Type[BoxError]] = {
    400: InvalidRequest,
    401: Unauthenticated,
    403: PolicyDenied,
    404: NotFound,
    405: InvalidRequest,
    409: Conflict,
    413: InvalidRequest,
    415: InvalidRequest,
    422: ModelRefused,
    429: Busy,
    503: Busy,
    504: DeadlineExceeded,
    507: QuotaExceeded,
}


# What the program ``blindbox`` has flags for, by the arguments of this package.
_ARGUMENTS = {
    "--api-key-file": "api_key= or api_key_file=",
    "--at": "at=",
    "--bundle": "bundle=",
    "--cert": "cert=",
    "--key": "key=",
    "--timeout": "verify_timeout=",
    "--trust": "trust=",
}

# A whole command, to be typed as it stands, or a flag by itself, with or without a value.
_COMMAND_OR_FLAG = re.compile(r"`(?:blindbox|boxd) [^`]*`|(`?)(--[a-z][a-z-]*)(?: ([A-Z]{2,}))?(`?)")


def in_python(text: str) -> str:
    """What the program says, with arguments in the place of its flags, as far as there are any."""

    def say(found: "re.Match[str]") -> str:
        before, flag, value, behind = found.groups()
        if flag not in _ARGUMENTS:
            return found.group(0)
        return before + _ARGUMENTS[flag] + (value or "") + behind

    return _COMMAND_OR_FLAG.sub(say, text)


def advice(text: str) -> str:
    """What the program advises, without the sentences that are about flags which nothing here
    stands for."""
    sentences = re.split(r"(?<=[.;]) (?=[A-Z`-])", in_python(text))
    return " ".join(s for s in sentences if not _about_flags(s))


def _about_flags(sentence: str) -> bool:
    return any(m.group(2) or "--help" in m.group(0) for m in _COMMAND_OR_FLAG.finditer(sentence))


def of_tool(document: Mapping[str, Any]) -> BlindBoxError:
    """The error of a command of ``blindbox -o json``."""
    said = document.get("error") or {}
    kind = _STAGES.get(int(document.get("exit", 0)), SidecarError)
    return kind(
        ": ".join(part for part in (_text(said, "area"), _text(said, "title")) if part),
        code=_text(said, "code"),
        reason=_text(said, "reason"),
        area=_text(said, "area"),
        seen=in_python(_text(said, "seen") or _places(said)),
        expected=in_python(_text(said, "expected")),
        fix=advice(_text(said, "fix")),
        page=_text(said, "page"),
        also=tuple(said.get("also") or ()),
        nothing_sent=True,
    )


def _places(said: Mapping[str, Any]) -> str:
    """Where a file is wrong, and in what: each problem begins with its line and column."""
    places = [p for p in said.get("places") or () if isinstance(p, dict)]
    return "; ".join(f"{_text(p, 'file')}:{_text(p, 'problem')}" for p in places)


def of_proxy(problem: Mapping[str, Any]) -> BlindBoxError:
    """The error for a request that the sidecar did not forward, or whose answer it lost."""
    code, nothing_sent = _text(problem, "code"), bool(problem.get("nothing_sent"))
    stage = int(code[4:5]) if code[4:5].isdigit() else 0
    kind: Type[BlindBoxError] = {1: UsageError, 2: AttestationError, 4: PartlyVerified}.get(stage, ConnectionLost)
    if kind is ConnectionLost and nothing_sent:
        kind = Unavailable
    return kind(
        _text(problem, "title"),
        code=code,
        reason=_text(problem, "reason"),
        seen=in_python(_text(problem, "seen") or _text(problem, "detail")),
        expected=in_python(_text(problem, "expected")),
        fix=advice(_text(problem, "fix")),
        nothing_sent=nothing_sent,
    )


def of_box(
    status: int, body: Any, retry_after: Optional[str] = None, response: Any = None, receipt: Any = None
) -> BoxError:
    """The error for an answer of the box itself; body is its JSON, if it had any."""
    said = body if isinstance(body, dict) else {}
    message, code, fix = _text(said, "error"), _text(said, "code"), _text(said, "fix")
    if not message:
        message = ": ".join(part for part in (_text(said, "title"), _text(said, "detail")) if part)
    kind = _STATUS.get(status, BoxError)
    more: Dict[str, Any] = {"status": status, "code": code, "fix": fix, "response": response}
    if kind is Busy:
        more["retry_after"] = _seconds(retry_after)
    error = kind(message or "the box gives no reason", **more)
    error.receipt = receipt
    return error


def _text(of: Any, name: str) -> str:
    value = of.get(name) if isinstance(of, dict) else None
    return value if isinstance(value, str) else ""


def _seconds(text: Optional[str]) -> float:
    return float(text) if text and text.isascii() and text.isdigit() else 1.0
