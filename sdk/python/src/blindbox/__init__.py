"""Models and programs in hardware-isolated boxes, verified before a byte is sent.

    import blindbox

    with blindbox.connect("https://box.example", trust="trust.yaml") as box:
        model = box.upload_model("xray.onnx")
        print(box.run_model(model.model_id, input_tensors=array).output[0].as_numpy())

Everything goes through the program ``blindbox``, which this package starts for itself and
which verifies the box. Nothing here weakens that.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Optional, Union

from . import errors, requests
from ._sidecar import Options, Sidecar, origin
from ._version import __version__
from ._wire import Wire
from .client import Client, connect
from .errors import (
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
    SidecarError,
    SimulationModeWarning,
    Timeout,
    Unauthenticated,
    Unavailable,
    UsageError,
)
from .models import Model, ModelInfo, RunModelResponse, UploadResponse
from .tensors import ModelDatumType, Tensor, TensorInfo

if TYPE_CHECKING:
    import openai as openai_library

BlindAiConnection = Client  # its name in BlindAI


def openai(
    url: str,
    *,
    trust: Union[str, "os.PathLike[str]", None] = None,
    api_key: Optional[str] = None,
    api_key_file: Union[str, "os.PathLike[str]", None] = None,
    verify_timeout: float = 30.0,
    binary: Optional[str] = None,
    **options: Any,
) -> "openai_library.OpenAI":
    """An ``openai.OpenAI`` for a box: verified first, and refused with the reason.

    api_key is the caller's key for the box (without it BLINDBOX_API_KEY, if it is set);
    options are OpenAI's own, such as ``max_retries`` and ``timeout``.
    """
    from ._openai import over

    sidecar = Sidecar(
        Options(
            url=origin(url),
            trust=None if trust is None else os.path.abspath(trust),
            api_key=api_key,
            api_key_file=None if api_key_file is None else os.path.abspath(api_key_file),
            verify_timeout=verify_timeout,
            binary=binary,
        )
    )
    sidecar.start()
    return over(Wire(sidecar), owned=True, **options)


__all__ = [
    "AttestationError",
    "BlindAiConnection",
    "BlindBoxError",
    "BoxError",
    "Busy",
    "Client",
    "Conflict",
    "ConnectionLost",
    "DeadlineExceeded",
    "InvalidRequest",
    "Model",
    "ModelDatumType",
    "ModelInfo",
    "ModelRefused",
    "NotFound",
    "PartlyVerified",
    "PolicyDenied",
    "QuotaExceeded",
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
    "__version__",
    "connect",
    "errors",
    "openai",
    "requests",
]
