"""The ranker's feature spec, read from `meta.ranker` on the columns of a model in dbt's manifest."""

from collections.abc import Mapping
from typing import Any

# Roles that exactly one column has, those that at most one has, and what makes a feature of each kind.
REQUIRED_ROLES = ("event", "request", "user", "item", "time", "acted")
OPTIONAL_ROLES = ("position", "surface", "traffic")
ROLES = (*REQUIRED_ROLES, *OPTIONAL_ROLES, "label", "segment", "feature", "negative_keep_probability")
FEATURE_KEYS: Mapping[str, tuple[str, ...]] = {
    "numeric": (),
    "categorical": ("cardinality",),
    "sequence": ("cardinality", "max_length"),
}


def feature_spec(manifest: Mapping[str, Any], *, model: str = "examples") -> dict[str, Any]:
    """The spec of the latest version of `model`, as plain JSON data, its features in the order of the contract.

    `negative_keep_probability` is a column of the sampled table built on `model`, not of `model` itself: it is looked
    for in every model of the manifest, and left out where no model has it.

    Raises ValueError if there is no such model, or, naming the column, for an unknown role or kind, a key that a kind
    needs and lacks, a role that is missing, or one that two columns claim.
    """
    node = _latest(manifest, model)
    columns = _columns(node)
    spec: dict[str, Any] = {"relation": f"{node['schema']}.{node['alias']}"}
    for role in REQUIRED_ROLES:
        spec[role] = _only(model, columns, role)
    for role in OPTIONAL_ROLES:
        if _with(columns, role):
            spec[role] = _only(model, columns, role)
    keeps = {name for other in _models(manifest) for name in _with(_columns(other), "negative_keep_probability")}
    if len(keeps) > 1:
        raise ValueError(f"columns {sorted(keeps)} all have the role negative_keep_probability; one name must serve")
    if keeps:
        spec["negative_keep_probability"] = keeps.pop()
    spec["labels"] = [{"name": name, "action": _value(columns, name, "action")} for name in _with(columns, "label")]
    spec["segments"] = _with(columns, "segment")
    spec["features"] = [_feature(columns, name) for name in _with(columns, "feature")]
    return spec


def _models(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]


def _latest(manifest: Mapping[str, Any], model: str) -> Mapping[str, Any]:
    for node in _models(manifest):
        if node["name"] == model and node.get("version") == node.get("latest_version"):
            return node
    names = sorted({node["name"] for node in _models(manifest)})
    raise ValueError(f"model is {model!r}; the manifest has {names}")


def _columns(node: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """`meta.ranker` by column, for the columns that have it, with `role` as a list."""
    columns: dict[str, Mapping[str, Any]] = {}
    for name, column in node["columns"].items():
        ranker = column.get("config", {}).get("meta", {}).get("ranker") or column.get("meta", {}).get("ranker")
        if ranker is None:
            continue
        roles = [ranker["role"]] if isinstance(ranker.get("role"), str) else ranker.get("role", [])
        for role in roles or [None]:
            if role not in ROLES:
                raise ValueError(f"column {name} of {node['name']} has role {role!r}; it must be one of {ROLES}")
        columns[name] = {**ranker, "role": roles}
    return columns


def _with(columns: Mapping[str, Mapping[str, Any]], role: str) -> list[str]:
    return [name for name, ranker in columns.items() if role in ranker["role"]]


def _only(model: str, columns: Mapping[str, Mapping[str, Any]], role: str) -> str:
    names = _with(columns, role)
    if len(names) != 1:
        raise ValueError(f"columns {names} of {model} have the role {role}; exactly one must")
    return names[0]


def _value(columns: Mapping[str, Mapping[str, Any]], name: str, key: str) -> Any:
    if key not in columns[name]:
        raise ValueError(f"column {name} is a {' and '.join(columns[name]['role'])} and lacks {key!r} in meta.ranker")
    return columns[name][key]


def _feature(columns: Mapping[str, Mapping[str, Any]], name: str) -> dict[str, Any]:
    kind = _value(columns, name, "kind")
    if kind not in FEATURE_KEYS:
        raise ValueError(f"feature {name} is of kind {kind!r}; it must be one of {list(FEATURE_KEYS)}")
    # A sequence of another feature's values has that one's buckets.
    keys = ["of" if key == "cardinality" and "of" in columns[name] else key for key in FEATURE_KEYS[kind]]
    return {"name": name, "kind": kind} | {key: _value(columns, name, key) for key in keys}
