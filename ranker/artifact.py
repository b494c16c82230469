"""A ranker as files: weights as safetensors, the rest as JSON. No pickle is written or read."""

import json
from collections.abc import Mapping
from typing import Any, Literal

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ranker.spec import FeatureSpec

Weights = Literal["teacher.safetensors", "serving.safetensors"]
TEACHER: Weights = "teacher.safetensors"
SERVING: Weights = "serving.safetensors"
CONFIG = "config.json"
MOMENTS = "optimizer.safetensors"
SPEC = "spec.json"
POSITION = "position."


def pack(tensors: dict[str, Tensor], *, about: dict[str, Any], spec: FeatureSpec) -> dict[str, bytes]:
    """Every file of a model by name; the same content gives the same bytes.

    teacher.safetensors: all weights, uncalibrated, to distil and warm-start from.
    serving.safetensors: the same with the position logit fixed at position 1, where it is 0: it is left out.
    config.json: what rebuilds the model around the weights. spec.json: the feature spec.
    """
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    serving = {name: tensor for name, tensor in tensors.items() if not name.startswith(POSITION)}
    return {TEACHER: save(tensors), SERVING: save(serving), CONFIG: _text(about), SPEC: _text(spec.to_json())}


def unpack(files: dict[str, bytes], *, weights: Weights) -> tuple[dict[str, Tensor], dict[str, Any], FeatureSpec]:
    """Tensors, what is about them, and the spec. Raises ValueError if a file is missing or cannot be read."""
    if weights not in (TEACHER, SERVING):
        raise ValueError(f"weights is {weights!r}; it must be {TEACHER!r} or {SERVING!r}")
    absent = sorted({weights, CONFIG, SPEC} - set(files))
    if absent:
        raise ValueError(f"the files {absent} are missing; there are {sorted(files)}")
    try:
        return load(files[weights]), json.loads(files[CONFIG]), FeatureSpec.from_json(json.loads(files[SPEC]))
    except (json.JSONDecodeError, UnicodeDecodeError, SafetensorError) as error:
        raise ValueError(f"the model's files cannot be read: {type(error).__name__}: {error}") from error


def pack_moments(moments: Mapping[str, Tensor]) -> dict[str, bytes]:
    """optimizer.safetensors: what a warm start goes on with, beside the teacher's weights."""
    return {MOMENTS: save({name: tensor.contiguous() for name, tensor in moments.items()})}


def unpack_moments(files: Mapping[str, bytes]) -> dict[str, Tensor]:
    """Raises ValueError if the file is missing or cannot be read."""
    if MOMENTS not in files:
        raise ValueError(f"the file {MOMENTS!r} is missing; there are {sorted(files)}")
    try:
        return load(files[MOMENTS])
    except SafetensorError as error:
        raise ValueError(f"{MOMENTS} cannot be read: {error}") from error


def spec_differences(stored: FeatureSpec, given: FeatureSpec) -> str:
    """Names of the parts that differ between two specs, features one by one; empty if they are equal."""
    ours, theirs = stored.to_json(), given.to_json()
    parts = [key for key in sorted(ours.keys() | theirs.keys()) if ours.get(key) != theirs.get(key)]
    trained = {feature.name: feature for feature in stored.features}
    offered = {feature.name: feature for feature in given.features}
    names = sorted(name for name in trained.keys() | offered.keys() if trained.get(name) != offered.get(name))
    return ", ".join(parts) + (f" (features {names})" if names else "")


def _text(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()
