"""Weights of a backbone from checkpoints of any training code: nested, with prefixes, among other entries."""

from __future__ import annotations

import difflib
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""Parts of a name that wrappers of PyTorch put in: data parallel, compiled, sharded, checkpointed."""

PREFERRED = ("ema", "teacher", "encoder_q", "online")
"""Where several networks of one file fit, the first of these words in a name decides: averaged weights as timm
takes them, DINO's teacher, MoCo's query encoder, BYOL's online network."""

_DEPTH = 4  # of dicts within dicts


class TeacherWeightsError(ValueError):
    """Pretrained weights that could not be loaded; names their source and the alternatives."""


class _Fit(NamedTuple):
    """One network found in a file: where, what it lacks, and its entries under the wanted names."""

    place: str
    lacks: list[str]
    odd: list[str]
    entries: dict[str, Tensor]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a file of weights: .safetensors, or a file of `torch.save`. No code in the file is run.

    Raises:
        TeacherWeightsError: the file cannot be read, holds other objects than tensors and plain values, or no dict.
    """
    try:
        content: Any = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except pickle.UnpicklingError as error:
        objects = _objects(path)
        if not objects:
            raise TeacherWeightsError(f"teacher: cannot read {path}: {str(error).splitlines()[0]}") from error
        raise TeacherWeightsError(
            f"teacher: cannot read {path}: beside tensors it holds objects whose loading may run code "
            f"({', '.join(objects[:5])}{', ...' if len(objects) > 5 else ''}). Where you trust the file, keep its "
            f"tensors alone: `state = torch.load(file, weights_only=False)`, then "
            f"`torch.save(state['state_dict'], 'weights.pth')`, and give that file"
        ) from error
    except Exception as error:  # both readers raise their own kinds for a broken file
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise TeacherWeightsError(f"teacher: cannot read {path}: {first}") from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict", {}), Mapping):
        return dict(content)
    content = content["state_dict"] if isinstance(content, Mapping) else content
    raise TeacherWeightsError(f"teacher: {path} holds a {type(content).__name__}, not a state dict")


def find_weights(
    content: Mapping[str, Any], wanted: Mapping[str, Tensor], *, backbone: str, source: str
) -> dict[str, Tensor]:
    """Find the entries of a network in a checkpoint, at any depth and with any prefix.

    Args:
        content: the result of `read_checkpoint`.
        wanted: the network's own state dict.
        backbone: the network's name, for messages.
        source: the file's name, for messages.

    Returns:
        An entry for each name of `wanted`. `num_batches_tracked`, which no inference needs, may be absent.

    Raises:
        TeacherWeightsError: entries are missing, of other shapes or not finite, or several networks fit.
    """
    fits = sorted(_fits(content, wanted), key=lambda fit: (len(fit.lacks), len(fit.odd)))
    if not fits:
        raise TeacherWeightsError(f"teacher: {source} holds no tensors under names, so no weights of {backbone}")
    best = fits[0]
    at = f" (nearest at {best.place})" if best.place else ""
    if best.lacks:
        raise TeacherWeightsError(
            f"teacher: {source} lacks {len(best.lacks)} entries of {backbone}, the first is {best.lacks[0]}{at}; "
            f"nearest names there: {', '.join(_near(best.lacks[0], content, wanted)) or 'none'}"
        )
    if best.odd:
        name = best.odd[0]
        raise TeacherWeightsError(
            f"teacher: {source} does not fit {backbone}{at}: {name} is {tuple(best.entries[name].shape)} there and "
            f"{tuple(wanted[name].shape)} in the network"
        )
    best = _chosen([fit for fit in fits if not fit.lacks and not fit.odd], source)
    bad = [k for k, v in best.entries.items() if v.is_floating_point() and not v.isfinite().all()]
    if bad:
        raise TeacherWeightsError(f"teacher: {source} holds values that are not finite, the first in {bad[0]}")
    return best.entries


def _fits(content: Mapping[str, Any], wanted: Mapping[str, Tensor]) -> Iterator[_Fit]:
    # A features-only network prefixes its names by `model.` or writes `stages.0` as `stages_0`.
    flat = {name: name.removeprefix("model.").replace(".", "_") for name in wanted}
    known = set(flat.values())
    for place, tensors in _state_dicts(content):
        by_prefix: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            parts = [part for part in name.split(".") if part not in WRAPPERS]
            for i in range(len(parts)):
                rest = "_".join(parts[i:])
                if rest in known:
                    by_prefix.setdefault(".".join(parts[:i]), {})[rest] = tensor
        for prefix, found in by_prefix.items() or {"": {}}.items():
            entries = {name: found[rest] for name, rest in flat.items() if rest in found}
            # Counters that no inference needs; state dicts of old or of other frameworks lack them.
            lacks = sorted(n for n in wanted if n not in entries and not n.endswith("num_batches_tracked"))
            odd = [n for n, v in entries.items() if v.shape != wanted[n].shape]
            where = ".".join(part for part in (place, prefix) if part)
            counters = {n: v for n, v in wanted.items() if n not in entries and n not in lacks}
            yield _Fit(where, lacks, odd, entries | counters)


def _state_dicts(
    content: Mapping[str, Any], place: str = "", depth: int = 0
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Each dict with tensors in it, at any name, with the names that lead there."""
    tensors = {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, Tensor)}
    if tensors:
        yield place, tensors
    for name, value in content.items():
        if isinstance(name, str) and isinstance(value, Mapping) and depth < _DEPTH:
            yield from _state_dicts(value, f"{place}.{name}" if place else name, depth + 1)


def _chosen(fits: list[_Fit], source: str) -> _Fit:
    """The one network that fits, the preferred one of several, or any of several with the same values."""
    for word in PREFERRED:
        named = [fit for fit in fits if word in fit.place.lower()]
        if named and len(named) < len(fits):
            fits = named
    first = fits[0]
    if any(not torch.equal(v, fit.entries[k]) for fit in fits[1:] for k, v in first.entries.items()):
        places = ", ".join(fit.place or "the top" for fit in fits)
        raise TeacherWeightsError(
            f"teacher: {source} holds several networks that fit, at {places}; save the one you mean in its own file"
        )
    return first


def _near(name: str, content: Mapping[str, Any], wanted: Mapping[str, Tensor]) -> list[str]:
    """The names in a file most like `name`, without those that are wanted themselves."""
    taken = tuple(f".{key.removeprefix('model.')}" for key in wanted)
    names = {
        f"{place}.{key}" if place else key: key
        for place, tensors in _state_dicts(content)
        for key in tensors
        if not f".{key}".endswith(taken)
    }
    near = difflib.get_close_matches(name, list(names.values()), n=3, cutoff=0.3)
    return [full for key in dict.fromkeys(near) for full, short in names.items() if short == key][:3]


def _objects(path: Path) -> list[str]:
    """Names of the objects a checkpoint would make, other than tensors; found without making any."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # a file in PyTorch's old format, or broken further on
        return []
