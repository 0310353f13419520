"""What a box says about its models, and what a model answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple, Union

from .errors import InvalidRequest, UsageError
from .receipts import Receipt
from .tensors import MOST_DIMENSIONS, Tensor, TensorInfo


@dataclass(frozen=True)
class Model:
    """What a box says about a model."""

    name: str
    version: str
    model_id: str
    state: str = ""
    reason: str = ""
    owner: str = ""
    visibility: str = ""
    optimize: bool = True
    batch: int = 0  # rows of the runs that requests share; 0: each request has its own
    loaded: bool = False
    pinned: bool = False
    size: int = 0
    memory: int = 0
    uploaded: str = ""

    @property
    def hash(self) -> bytes:
        """The SHA-256 of its file."""
        return bytes.fromhex(self.model_id.partition(":")[2])


@dataclass(frozen=True)
class UploadResponse(Model):
    """The model that a box has made of an upload. receipt is there if it was asked for."""

    receipt: Optional[Receipt] = field(default=None, repr=False)


@dataclass(frozen=True)
class DeleteResponse:
    """Which versions of a model are gone, the newest first, and which the caller still has,
    the oldest first. receipt is there if it was asked for."""

    name: str
    versions: Tuple[str, ...]
    left: Tuple[str, ...]
    receipt: Optional[Receipt] = field(default=None, repr=False)


@dataclass(frozen=True)
class ModelInfo:
    """What a model takes and gives; -1 is a dimension that it leaves open."""

    name: str
    versions: Tuple[str, ...]
    platform: str
    inputs: Tuple[TensorInfo, ...]
    outputs: Tuple[TensorInfo, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunModelResponse:
    """The outputs of a run: by their place in ``output``, or by name. receipt is there if it
    was asked for."""

    output: List[Tensor]
    receipt: Optional[Receipt] = field(default=None, repr=False)

    def __getitem__(self, name: Union[str, int]) -> Tensor:
        if isinstance(name, int):
            return self.output[name]
        for t in self.output:
            if t.name == name:
                return t
        raise KeyError(f"no output {name!r}; there are {', '.join(self.names)}")

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.output)

    def __len__(self) -> int:
        return len(self.output)

    @property
    def names(self) -> List[str]:
        return [t.name for t in self.output]


_CARD = (
    "name",
    "version",
    "state",
    "reason",
    "owner",
    "visibility",
    "optimize",
    "batch",
    "loaded",
    "pinned",
    "size",
    "memory",
    "uploaded",
)


def card(said: Any) -> Dict[str, Any]:
    """What a box says about a model, as Model has it."""
    if not isinstance(said, dict):
        raise InvalidRequest("the box's answer about a model cannot be read")
    known = {name: said[name] for name in _CARD if name in said}
    return {"name": "", "version": "", **known, "model_id": str(said.get("id", ""))}


def deleted(said: Any) -> DeleteResponse:
    """What a box says about a model that it has deleted."""
    left = said.get("left") if isinstance(said, dict) else None
    if not isinstance(left, list):
        raise InvalidRequest("the box's answer about a model that is gone cannot be read")
    return DeleteResponse(str(said.get("name", "")), (str(said.get("version", "")),), tuple(map(str, left)))


def infos(said: Any) -> Tuple[TensorInfo, ...]:
    try:
        return tuple(TensorInfo(_sizes(v.get("shape")), v.get("datatype"), v.get("name")) for v in said or ())
    except (UsageError, TypeError, AttributeError):
        raise InvalidRequest("the box's answer about a model cannot be read") from None


def _sizes(shape: Any) -> List[int]:
    shape = shape or []
    if not isinstance(shape, list) or len(shape) > MOST_DIMENSIONS:
        raise TypeError
    if not all(type(d) is int and -1 <= d < 1 << 63 for d in shape):
        raise TypeError
    return shape
