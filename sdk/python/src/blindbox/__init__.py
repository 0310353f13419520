"""Models and programs in hardware-isolated boxes, verified before a byte is sent.

    import blindbox

    with blindbox.connect("https://box.example", trust="trust.yaml") as box:
        model = box.upload_model("xray.onnx")
        print(box.run_model(model.model_id, input_tensors=array).output[0].as_numpy())

Everything goes through the program ``blindbox``, which this package starts for itself and
which verifies the box. Nothing here weakens that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from . import errors, requests
from ._awire import AsyncWire
from ._sidecar import Sidecar
from ._version import __version__
from ._wire import MOST_ANSWER, Wire
from .asynchronous import AsyncClient, aconnect
from .client import Client, Path, connect, options_of
from .errors import (
    AnswerTooLarge,
    AttestationError,
    BlindBoxError,
    BoxError,
    Busy,
    Conflict,
    ConnectionLost,
    DeadlineExceeded,
    InvalidRequest,
    ModelRefused,
    NotFound,
    PartlyVerified,
    PolicyDenied,
    QuotaExceeded,
    ReceiptError,
    SidecarError,
    SimulationModeWarning,
    Timeout,
    Unauthenticated,
    Unavailable,
    UsageError,
    WrongType,
)
from .models import DeleteResponse, Model, ModelInfo, RunModelResponse, UploadResponse
from .receipts import Receipt
from .tensors import ModelDatumType, Tensor, TensorInfo

if TYPE_CHECKING:
    import openai as openai_library

BlindAiConnection = Client  # its name in BlindAI


def openai(
    url: str,
    *,
    trust: Path = None,
    api_key: Optional[str] = None,
    api_key_file: Path = None,
    cert: Path = None,
    key: Path = None,
    verify_timeout: float = 30.0,
    binary: Optional[str] = None,
    max_bytes: Optional[int] = MOST_ANSWER,
    **options: Any,
) -> "openai_library.OpenAI":
    """An ``openai.OpenAI`` for a box: verified first, and refused with the reason.

    api_key is the caller's key for the box (without it BLINDBOX_API_KEY, if it is set);
    options are OpenAI's own, such as ``max_retries`` and ``timeout``. An answer that is read
    into memory has at most max_bytes; streams have no bound.
    """
    from ._openai import over

    sidecar = Sidecar(options_of(url, trust, api_key, api_key_file, cert, key, verify_timeout, binary))
    sidecar.start()
    return over(Wire(sidecar), owned=True, most=max_bytes, **options)


def async_openai(
    url: str,
    *,
    trust: Path = None,
    api_key: Optional[str] = None,
    api_key_file: Path = None,
    cert: Path = None,
    key: Path = None,
    verify_timeout: float = 30.0,
    binary: Optional[str] = None,
    max_bytes: Optional[int] = MOST_ANSWER,
    **options: Any,
) -> "openai_library.AsyncOpenAI":
    """An ``openai.AsyncOpenAI`` for a box, as ``openai`` is one for programs that wait. The box is
    verified when an ``async with`` begins, or with the first request; nothing is sent before."""
    from ._openai import async_over

    sidecar = Sidecar(options_of(url, trust, api_key, api_key_file, cert, key, verify_timeout, binary))
    return async_over(AsyncWire(sidecar), owned=True, most=max_bytes, **options)


__all__ = [
    "AnswerTooLarge",
    "AsyncClient",
    "AttestationError",
    "BlindAiConnection",
    "BlindBoxError",
    "BoxError",
    "Busy",
    "Client",
    "Conflict",
    "ConnectionLost",
    "DeadlineExceeded",
    "DeleteResponse",
    "InvalidRequest",
    "Model",
    "ModelDatumType",
    "ModelInfo",
    "ModelRefused",
    "NotFound",
    "PartlyVerified",
    "PolicyDenied",
    "QuotaExceeded",
    "Receipt",
    "ReceiptError",
    "RunModelResponse",
    "SidecarError",
    "SimulationModeWarning",
    "Tensor",
    "TensorInfo",
    "Timeout",
    "Unauthenticated",
    "Unavailable",
    "UploadResponse",
    "UsageError",
    "WrongType",
    "__version__",
    "aconnect",
    "async_openai",
    "connect",
    "errors",
    "openai",
    "requests",
]
