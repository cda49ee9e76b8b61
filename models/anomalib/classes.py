"""anomalib's model classes by name: which can be a model here, their arguments checked, and how one is built."""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import typing
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import Any

import pydantic
import torch

from dlkd.models.teachers.teacher import given_weights
from dlkd.models.teachers.weights import find_weights

_EVERY_STEP = "it reads all training images before its steps, and `Detector.losses` gets one batch"
_ZERO_SHOT = "it is not trained, and its network is a download"

REFUSED = {
    "AiVad": "it scores videos, and data here are images",
    "AnomalyVFM": _ZERO_SHOT,
    "CFM": "it takes a point cloud beside each image",
    "Cfa": _EVERY_STEP,
    "Dsr": "it loads downloaded weights when its training starts, a resumed one too",
    "EfficientAd": f"{_EVERY_STEP}; its steps take downloaded images in an order that no checkpoint holds",
    "Fuvas": "it scores videos, and data here are images",
    "Glass": _EVERY_STEP,
    "VlmAd": "it asks a language model, by an API or a download, and gives labels, not scores",
    "WinClip": _ZERO_SHOT,
}
"""Classes of anomalib that cannot be a model here, with the reason; docs/anomalib.md shows them."""

OUR_PARTS = ("pre_processor", "post_processor", "evaluator", "visualizer")
"""Arguments of each class that take objects, which the harness stands in for."""


class AnomalibError(ValueError):
    """anomalib is missing, or what was asked of it cannot be had; says which key, and what to do instead."""


def anomalib_class(name: str) -> Any:
    """The class of anomalib's own list. Raises AnomalibError if there is none, or if it cannot be a model here."""
    if importlib.util.find_spec("anomalib") is None:
        raise AnomalibError('model/anomalib needs the package anomalib: pip install "dlkd[anomalib]"')
    with _quiet():
        import anomalib.models
    known = sorted(set(anomalib.models.__all__) - set(REFUSED))
    if name in REFUSED:
        raise AnomalibError(f"class: anomalib's {name} cannot be a row: {REFUSED[name]}; possible: {', '.join(known)}")
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
        raise AnomalibError(f"class: anomalib has no model '{name}'; {hint}")
    return getattr(anomalib.models, name)


def checked(kind: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a class with words as its enumerations; raises AnomalibError for all that are wrong at once."""
    known = sorted(set(inspect.signature(kind).parameters) - set(OUR_PARTS))
    hints = _hints(kind)
    found, wrong = {}, []
    for key, value in arguments.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
            wrong.append(f"arguments.{key}: anomalib's {kind.__name__} has no such argument; {hint}")
            continue
        try:
            typed = _adapter(hints.get(key, Any)).validate_python(value)
        except pydantic.ValidationError as error:
            expected = "; ".join(dict.fromkeys(e["msg"].removeprefix("Input should be ") for e in error.errors()))
            wrong.append(f"arguments.{key}: expected {expected}, got {value!r}")
            continue
        found[key] = typed if isinstance(typed, Enum) else value
    if wrong:
        raise AnomalibError("\n".join(wrong))
    return found


def built(kind: Any, arguments: Mapping[str, Any], image_size: Sequence[int] | None, weights: str) -> Any:
    """A module of anomalib's, without what the harness does: no post-processing, no metrics, no pictures.

    Args:
        kind: from `anomalib_class`.
        arguments: from `checked`.
        image_size: height and width of its pre-processing, None for its own.
        weights: what the backbones get that it wants pretrained, see `dlkd.models.anomalib.model.Anomalib`.

    Raises:
        AnomalibError: its constructor refuses a value, or weights cannot be had.
    """
    parts: dict[str, Any] = dict.fromkeys(OUR_PARTS[1:], False)
    # Built in memory even where the registry asks for none: these constructors compute with what they make.
    with _quiet(), torch.device("cpu"), _backbones(weights):
        try:
            if image_size is not None:
                parts["pre_processor"] = kind.configure_pre_processor(image_size=tuple(image_size))
            return kind(**arguments, **parts)
        except Exception as error:  # whatever a constructor makes of a value that it did not foresee
            raise AnomalibError(_said(kind, arguments, error)) from error


def _said(kind: Any, arguments: Mapping[str, Any], error: Exception) -> str:
    """What is said of a constructor that failed."""
    first = next(iter(str(error).strip().splitlines()), "")
    text = (
        f"anomalib's {kind.__name__} cannot be built with arguments {dict(arguments)}: {type(error).__name__}: {first}"
    )
    if not isinstance(error, OSError):
        return text
    return (
        f"{text}\nIf these are weights that cannot be downloaded: `weights: random`, or a file's path, for backbones "
        "of timm, or `arguments: {pre_trained: false}`."
    )


@contextmanager
def _backbones(weights: str) -> Iterator[None]:
    """Where timm is asked for a pretrained network, it makes an untrained one that gets `weights`."""
    import timm

    create: Callable[..., Any] = timm.create_model

    def create_model(model_name: str, pretrained: bool = False, **options: Any) -> Any:
        network = create(model_name, pretrained=False, **options)
        if pretrained and weights != "random":
            state = given_weights(model_name, weights)
            network.load_state_dict(find_weights(state, network.state_dict(), backbone=model_name, source=weights))
        return network

    if weights == "timm":
        yield
        return
    timm.create_model = create_model  # type: ignore[assignment]
    try:
        yield
    finally:
        timm.create_model = create


@contextmanager
def _quiet() -> Iterator[None]:
    """anomalib's imports and constructors warn of what its own code does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _hints(kind: Any) -> dict[str, Any]:
    """Annotations of a constructor; none where one is of a name that its file imports for type checkers alone."""
    try:
        return typing.get_type_hints(kind.__init__)
    except NameError:
        return {}


def _adapter(annotation: Any) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(annotation, config=pydantic.ConfigDict(arbitrary_types_allowed=True))
