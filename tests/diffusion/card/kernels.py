"""Tensors that say that they lie on the card, and the kernels that work on them: the CPU's, so that the bits are the CPU's too.

What CUDA refuses is refused: operations on tensors of the card and of the host together, but for single numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import torch

from .memory import Block, Memory

aten: Any = torch.ops.aten
CARD = torch.device("cuda", 0)
HOST = torch.device("cpu")
ANSWERS = ("_local_scalar_dense", "equal", "nonzero", "is_nonzero", "masked_select", "_unique2", "unique_dim")
"""Operations whose answer, or its shape, the host waits for."""
NUMBERS = ("fill_", "fill", "masked_fill", "masked_fill_")
"""Operations beside those on each element alone that take a single number of the host."""
HOST_INDICES = ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index")
"""Operations whose indices may lie on the host."""


class OnCard(torch.Tensor):
    """A tensor on the card. `inner` has its numbers."""

    inner: torch.Tensor
    block: Block

    @staticmethod
    def __new__(cls, inner: torch.Tensor, block: Block) -> OnCard:
        """`inner`, whose storage is `block`."""
        made = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=CARD,
        )
        made.inner, made.block = inner, block
        card: OnCard = made
        return card

    def __repr__(self, **_: Any) -> str:
        """Its shape alone."""
        return f"OnCard({tuple(self.shape)}, {self.dtype})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """A copy on the card, a parameter where this is one."""
        with torch.no_grad():
            made = self.detach().clone()
        copied = torch.nn.Parameter(made, self.requires_grad) if isinstance(self, torch.nn.Parameter) else made
        memo[id(self)] = copied
        return copied

    def tolist(self) -> Any:
        """The numbers, on the host."""
        return self.cpu().tolist()

    def numpy(self, **_: Any) -> Any:
        """Never."""
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor first.")

    def data_ptr(self) -> int:
        """Where its numbers are."""
        return self.inner.data_ptr()

    def untyped_storage(self) -> Any:
        """Where its numbers are."""
        return CardStorage(self.block)

    def pin_memory(self, *_: Any) -> Any:
        """Never."""
        raise RuntimeError(f"cannot pin '{self.type()}' only dense CPU tensors can be pinned")

    def is_pinned(self, *_: Any) -> bool:
        """Never."""
        return False

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Every operation that has one of these."""
        return kernels.call(func, args, kwargs or {})


class CardStorage:
    """A piece of the card's memory as torch shows it."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.device = CARD

    def data_ptr(self) -> int:
        """Where it is."""
        return self.block.storage.data_ptr()

    def nbytes(self) -> int:
        """Its length."""
        return self.block.storage.nbytes()

    def resizable(self) -> bool:
        """Always."""
        return True

    def cpu(self) -> torch.UntypedStorage:
        """A copy on the host."""
        kernels.memory.runs("copy", [self.block], [])
        kernels.memory.sync("from the card")
        return self.block.storage.clone()

    def resize_(self, bytes: int) -> None:
        """Its memory goes, and another piece comes."""
        kernels.memory.free(self.block)
        self.block.storage.resize_(bytes)
        if bytes:
            self.block.taken(kernels.memory.stream)

    def copy_(self, source: torch.UntypedStorage) -> None:
        """From the host."""
        self.block.storage.copy_(source)
        kernels.memory.runs("copy", [], [self.block])
        kernels.memory.sync("to the card")


class Traits(NamedTuple):
    """What the schema of an operation says."""

    name: str
    pointwise: bool
    composite: bool
    written: tuple[int, ...]
    """Places of the arguments that it changes."""
    written_names: tuple[str, ...]


@cache
def traits(func: Any) -> Traits:
    """Those of `func`."""
    arguments, name = func._schema.arguments, func._schema.name.removeprefix("aten::")
    writes = [argument.alias_info is not None and argument.alias_info.is_write for argument in arguments]
    return Traits(
        name,
        torch.Tag.pointwise in func.tags or name in NUMBERS,
        torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"),
        tuple(place for place, write in enumerate(writes) if write),
        tuple(argument.name for argument, write in zip(arguments, writes, strict=True) if write),
    )


def tensors(value: Any) -> Iterator[torch.Tensor]:
    """All in `value`."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from tensors(one)


def inside(value: Any) -> Any:
    """`value` with the host's tensors in place of the card's."""
    if isinstance(value, OnCard):
        return value.inner
    if isinstance(value, list | tuple):
        made = [inside(one) for one in value]
        return made if isinstance(value, list) else tuple(made)
    return value


class Kernels:
    """Carries operations out."""

    memory: Memory

    def call(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """`func` on the card, or between it and the host."""
        known = traits(func)
        if known.name in ("_to_copy", "copy_"):
            return self.copy(func, args, kwargs)
        given = [*tensors(args), *tensors(tuple(kwargs.values()))]
        mixed = any(not isinstance(one, OnCard) and (one.dim() or not known.pointwise) for one in given)
        if known.composite and (mixed or "device" in kwargs or known.name == "to"):
            return func.decompose(*args, **kwargs)
        if mixed and given and not self.allowed(known, args, given):
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! "
                f"(when checking {func})"
            )
        generator = kwargs.get("generator")
        if generator is not None and generator.device.type == "cpu":
            raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
        if known.name == "record_stream":
            return None
        if known.name in ("set_", "resize_", "set_data"):
            raise NotImplementedError(f"the emulated card can't {known.name}")
        return self.run(func, known, args, kwargs, given)

    def whole(self, func: Any, *args: Any, **kwargs: Any) -> Any:
        """`func`, as the dispatcher calls it."""
        return self.call(func, args, kwargs)

    def allowed(self, known: Traits, args: Any, given: list[torch.Tensor]) -> bool:
        """Whether CUDA takes tensors of the host beside the card's here."""
        if known.name not in HOST_INDICES:
            return False
        self.memory.sync("indices to the card")
        return all(isinstance(one, OnCard) or not one.dim() for one in (args[0], *tensors(args[2:])))

    def run(self, func: Any, known: Traits, args: Any, kwargs: dict[str, Any], given: list[torch.Tensor]) -> Any:
        """The CPU's kernel, and what the card's would have meant for memory, order and the host."""
        to = kwargs.get("device")
        target = CARD if to is None else torch.device(to)
        options = {name: inside(value) for name, value in kwargs.items() if name != "pin_memory"}
        if to is not None:
            options["device"] = HOST
        try:
            made = func(*inside(args), **options)
        except RuntimeError as error:
            if "can't allocate memory" not in str(error):
                raise
            raise torch.OutOfMemoryError("CUDA out of memory (emulated): more than the host has") from error
        changed = [args[place] for place in known.written if place < len(args)]
        changed += [kwargs[name] for name in known.written_names if name in kwargs]
        owners = {id(one.inner): one for one in tensors(changed) if isinstance(one, OnCard)}
        fresh: list[Block] = []
        lasting = any(not one.is_inference() for one in given)
        out = self.outside(made, owners, fresh, target, lasting)
        read = [one.block for one in given if isinstance(one, OnCard)]
        if fresh or owners or not any(isinstance(one, OnCard) for one in tensors(out)):
            self.memory.runs(known.name, read, [*fresh, *(one.block for one in owners.values())])
        if known.name in ANSWERS or (
            known.name == "index" and any(one.dtype == torch.bool for one in tensors(args[1]))
        ):
            self.memory.sync(known.name)
        return out

    def outside(
        self, value: Any, owners: dict[int, OnCard], fresh: list[Block], target: torch.device, lasting: bool
    ) -> Any:
        """`value` with the card's tensors in place of the host's; those that were changed are the same ones as before."""
        if isinstance(value, torch.Tensor):
            if id(value) in owners:
                if value.shape != owners[id(value)].shape:
                    raise NotImplementedError("the emulated card can't resize")
                return owners[id(value)]
            return self.put(value, fresh, lasting) if target.type == "cuda" else value
        if isinstance(value, list | tuple):
            made = [self.outside(one, owners, fresh, target, lasting) for one in value]
            return made if isinstance(value, list) else tuple(made)
        return value

    def put(self, inner: torch.Tensor, fresh: list[Block] | None = None, lasting: bool = False) -> OnCard:
        """`inner` as a tensor of the card, whose memory it takes where it shares none. Raises torch.OutOfMemoryError.

        A view of a `lasting` tensor, one that was made outside of inference mode, is one too.
        """
        block, new = self.memory.of(inner.untyped_storage())
        if new and fresh is not None:
            fresh.append(block)
        if lasting and not new:
            with torch.inference_mode(False):
                return OnCard(inner, block)
        return OnCard(inner, block)

    def copy(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """To the card, off it, and on it."""
        into = traits(func).name == "copy_"
        source = args[1] if into else args[0]
        if into:
            there = args[0].device
        else:
            to = kwargs.get("device")
            there = source.device if to is None else torch.device(to)
        waits = not (kwargs.get("non_blocking") or (into and len(args) > 2 and args[2]))
        crosses = isinstance(source, OnCard) != (there.type == "cuda")
        if into:
            target = args[0]
            if source.dim() and not isinstance(source, OnCard) and isinstance(target, OnCard):
                self.arrived(source)
            target_inner = inside(target)
            target_inner.copy_(inside(source))
            made, out = None, target
        else:
            options = {
                name: value
                for name, value in kwargs.items()
                if name not in ("device", "non_blocking", "pin_memory") and value is not None
            }
            if crosses and not isinstance(source, OnCard):
                self.arrived(source)
            made = aten._to_copy.default(inside(source), **options)
            out = self.put(made) if there.type == "cuda" else made
        read = [source.block] if isinstance(source, OnCard) else []
        self.memory.runs("copy", read, [out.block] if isinstance(out, OnCard) else [])
        if crosses and (waits or not isinstance(out, OnCard)):
            self.memory.sync("from the card" if isinstance(source, OnCard) else "to the card")
        return out

    def arrived(self, source: torch.Tensor) -> None:
        """A copy to the card begins."""
        self.on_copy(source)

    on_copy: Callable[[torch.Tensor], None] = staticmethod(lambda source: None)


kernels = Kernels()
