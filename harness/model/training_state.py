"""The state of a training loop, from which it goes on mid-way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor

FORM = "form"
"""Names the JSON of a state among its tensors, as uint8."""


class Stateful(Protocol):
    """What :mod:`torch` can load again: modules, optimizers, schedules, scalers."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


Part: TypeAlias = "Stateful | torch.Generator"


class Training:
    """All that changes while a loop trains, by name, for ``run.keep`` and ``run.resume``::

        training = Training(model=model, optimizer=optimizer, views=generator)
        for step in range(run.resume(training), steps):
            ...
            run.keep(step + 1, training)

    A part is a module, an optimizer, a generator that each step draws from, or anything else with
    ``state_dict`` and ``load_state_dict``: of tensors, and of what JSON can hold, in dictionaries
    with such keys, lists and tuples. :mod:`torch`'s global generators are kept by the run.
    """

    def __init__(self, **parts: Part) -> None:
        self._parts = parts

    def state(self) -> dict[str, Tensor]:
        """What has changed so far: no copies."""
        tensors: dict[str, Tensor] = {}
        form = {
            name: [type(part).__name__, _pack(_state_of(part), name, tensors)]
            for name, part in self._parts.items()
        }
        return {
            **tensors,
            FORM: torch.frombuffer(bytearray(json.dumps(form).encode()), dtype=torch.uint8),
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go back to an earlier :meth:`state`.

        Raises:
            ValueError: it is the state of another training: its tensors have other names, shapes
                or dtypes, or its parts are of other types.
        """
        form = json.loads(bytes(state[FORM].tolist())) if FORM in state else {}
        mine = {name: type(part).__name__ for name, part in self._parts.items()}
        if {name: kind for name, (kind, _) in form.items()} != mine:
            raise ValueError("the state has other parts")
        for name, tensor in self.state().items():
            other = state.get(name)
            if name != FORM and (
                other is None or (other.dtype, other.shape) != (tensor.dtype, tensor.shape)
            ):
                raise ValueError(f"the state has no {name} of this shape and dtype")
        for name, part in self._parts.items():
            value = _unpack(form[name][1], state)
            if isinstance(part, torch.Generator):
                part.set_state(value["state"])
            else:
                part.load_state_dict(value)


def _state_of(part: Part) -> dict[str, Any]:
    if isinstance(part, torch.Generator):
        return {"state": part.get_state()}
    return part.state_dict()


def _pack(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """JSON for a nested value; its tensors go into ``tensors``."""
    if isinstance(value, Tensor):
        tensors[name] = value
        # Fused optimizers walk a parameter and its moments side by side in memory, so a moment
        # has to come back with the strides it had.
        return {"tensor": name, "stride": torch.empty_like(value, device="meta").stride()}
    if isinstance(value, Mapping):
        return {"dict": [[k, _pack(v, f"{name}.{k}", tensors)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_pack(v, f"{name}.{i}", tensors) for i, v in enumerate(value)]}
    return value


def _unpack(form: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The value that was packed, with copies of its tensors, on the devices where they are."""
    match form:
        case {"tensor": name, "stride": stride}:
            tensor = tensors[name]
            copy = torch.empty_strided(
                tensor.shape, stride, dtype=tensor.dtype, device=tensor.device
            )
            return copy.copy_(tensor)
        case {"dict": items}:
            return {key: _unpack(value, tensors) for key, value in items}
        case {"list": items}:
            return [_unpack(value, tensors) for value in items]
        case {"tuple": items}:
            return tuple(_unpack(value, tensors) for value in items)
    return form
