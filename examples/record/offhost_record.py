# SPDX-License-Identifier: Apache-2.0
"""Record what a PyTorch pipeline calls, as a trace that offhost replays.

    import offhost_record

    with offhost_record.record(pipe, "trace.jsonl"):      # a diffusers pipeline
        pipe("a lighthouse", num_inference_steps=4)
        pipe("a harbour", num_inference_steps=4)

or, for anything else made of modules:

    modules = {"encoder": encoder, "denoiser": denoiser, "decoder": decoder}
    with offhost_record.record(modules, "trace.jsonl", blocks="auto") as recorder:
        for prompt in prompts:
            with recorder.request():
                generate(modules, prompt)

Then, in a shell:

    offhost trace check trace.jsonl
    offhost run trace.jsonl --budget 24GiB --link 25GB/s

This file needs torch 2.2 or later and nothing else: copy it beside your script.
README.md says what is measured, and how.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import inspect
import json
import os
import platform
import re
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

try:
    import torch
    from torch import nn
    from torch.utils._python_dispatch import TorchDispatchMode
except ModuleNotFoundError as error:
    if __name__ != "__main__" or error.name != "torch":
        raise
    sys.exit("offhost_record: torch is not installed: want 2.2 or later, as by: python -m pip install torch")

if tuple(map(int, re.findall(r"\d+", torch.__version__)[:2])) < (2, 2):
    raise ImportError(f"offhost_record needs torch 2.2 or later, and this is {torch.__version__}")

__all__ = ["RecordError", "RecordWarning", "Recorder", "record"]

FORMAT = "offhost.trace/1"

# Limits of the format.
MAX_NAME = 255  # bytes
MAX_TEXT = 4096  # bytes
MAX_COMPONENTS = 4096
MAX_DEPTH = 3  # calls inside one another: two that are entered, and one in them
MAX_COMPUTE_NS = 24 * 3600 * 10**9  # of one call
MAX_SUM = 2**53 - 1  # of all bytes, and of all nanoseconds

# Methods by which pipelines enter a module without calling it.
ENTRY_POINTS = ("forward", "encode", "decode")

# What is worth dividing: a list that is at least this share of its component, and with
# blocks="auto" a component that is at least this share of all weights, of which at least
# that share lies in such lists.
LIST_SHARE = 0.1
COMPONENT_SHARE = 0.1
BLOCKS_SHARE = 0.5


class RecordError(Exception):
    """The recording cannot be made as asked for; the message says what can."""


class RecordWarning(UserWarning):
    """Something that happened is not in the trace."""


class Recorder:
    """Records what a target calls until it is closed, and then writes the trace to path.

    A context manager. When an exception leaves it, the requests that were complete are
    written. Requests are recorded one at a time: those of several threads wait for one
    another.

    target: a diffusers pipeline, any other object that has modules as attributes, a
        mapping from names to modules, or a module. A call of a pipeline is a request by
        itself; for mappings and modules put the calls into `with recorder.request():`.
    blocks: None records whole components. "auto" divides the large ones (at least 10 %
        of all weights) into the blocks of their lists. A list divides what it names: a
        component ("transformer"), a list in it ("transformer.single_transformer_blocks")
        or one module ("unet.mid_block").
    name: of the trace and its pipeline; the pipeline's class name when not given.
    description: a sentence for reports.
    steps: how many calls a request announces; 0 when it does not.
    exclude: components to leave out, such as one that computes elsewhere.
    methods: further entry points by component, {"vae": ["tiled_decode"]}; forward,
        encode and decode are known.
    device: what the modules compute on; found out when not given.
    workspace: measure what calls allocate. On the CPU this slows them down, so times are
        truer without.
    memory_bytes, h2d_bytes_per_second, d2h_bytes_per_second, pageable_bytes_per_second:
        hints for a replay. The memory of a CUDA device is known; bandwidths are not
        measured, and 0 leaves them out.

    Raises RecordError when something cannot be recorded, before anything is hooked.
    """

    def __init__(
        self,
        target: Any,
        path: str | os.PathLike,
        *,
        blocks: str | Sequence[str] | None = None,
        name: str | None = None,
        description: str = "",
        steps: int = 0,
        exclude: Iterable[str] = (),
        methods: Mapping[str, Sequence[str]] | None = None,
        device: str | torch.device | None = None,
        workspace: bool = True,
        memory_bytes: int | None = None,
        h2d_bytes_per_second: int = 0,
        d2h_bytes_per_second: int = 0,
        pageable_bytes_per_second: int = 0,
    ) -> None:
        self.path = _writable(path)
        found = _find(target, exclude)
        self.name = _text("name", name if name is not None else found.name, MAX_NAME, least=1)
        self._description = _text("description", description, MAX_TEXT)
        self._steps = _count("steps", steps, 2**32 - 1)
        self._seq = found.offload_seq
        self._parts, self._notes = _divide(found.modules, blocks)
        self._meter = _meter(device, target, self._parts, workspace)
        if memory_bytes is None:
            memory_bytes = self._meter.memory_bytes
        self._hints = {
            key: _count(key, value, MAX_SUM)
            for key, value in {
                "memory_bytes": memory_bytes,
                "h2d_bytes_per_second": h2d_bytes_per_second,
                "d2h_bytes_per_second": d2h_bytes_per_second,
                "pageable_bytes_per_second": pageable_bytes_per_second,
            }.items()
        }
        self._revisions = _revisions(found.modules)
        self._requests: list[_Request] = []
        self._begun = 0
        self._request: _Request | None = None
        self._turn = threading.Lock()
        self._strays: set[str] = set()
        self._compute_ns = 0
        self._hooks = contextlib.ExitStack()
        self._closed = False
        try:
            self._hook(target, methods or {})
        except BaseException:
            self._hooks.close()
            raise

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        if error is None:
            self.close()
            return
        if self._closed:
            return
        # What ended the recording is the caller's to see; complete requests are kept.
        self._unhook()
        if self._requests:
            self._write()

    def close(self) -> None:
        """Remove every hook and write the trace. Closing twice does nothing."""
        if self._closed:
            return
        if self._request is not None:
            raise RecordError("a request is open: close the recorder after its end")
        self._unhook()
        if not self._requests:
            dropped = f" ({self._begun} left out, as warned)" if self._begun else ""
            raise RecordError(
                f"no request was recorded{dropped}, so {self.path} is not written: call the pipeline "
                "while it is recorded, or call its modules within recorder.request()"
            )
        self._write()
        for part in self._parts:
            if part.parent is None and not part.called and not any(child.called for child in part.children):
                _warn(
                    f"{part.name} was never called. If the pipeline enters it by a method other than "
                    f'{", ".join(ENTRY_POINTS)}, name it: methods={{"{part.name}": ["..."]}}'
                )

    @contextlib.contextmanager
    def request(self, steps: int | None = None) -> Iterator[None]:
        """Record the calls made inside as one request; inside an open one, as part of it.

        steps is how many calls are announced; the recorder's when not given.
        """
        steps = self._steps if steps is None else _count("steps", steps, 2**32 - 1)
        open_request = self._request
        if open_request is not None and open_request.thread == threading.get_ident():
            yield
            return
        with self._turn:
            if self._closed:
                raise RecordError("the recorder is closed: begin requests before its end")
            self._begun += 1
            request = self._request = _Request(self._begun, steps, [_Versions(part) for part in self._parts])
            try:
                yield
            except BaseException as error:
                request.spoil(f"it ended with {type(error).__name__}")
                raise
            finally:
                self._request = None
                self._finish(request)

    # Hooks.

    def _hook(self, target: Any, methods: Mapping[str, Sequence[str]]) -> None:
        entries = {part.name: part.entry_points() for part in self._parts}
        for name, more in methods.items():
            part = next((p for p in self._parts if p.name == name), None)
            if part is None:
                raise RecordError(f"methods names {name!r}: want one of {', '.join(entries)}")
            for method in more:
                if not callable(getattr(part.module, method, None)):
                    raise RecordError(f"{name} has no method {method!r}, which methods names")
                if method not in entries[name]:
                    entries[name].append(method)
        for part in self._parts:
            for module in part.modules:
                for method in entries[part.name]:
                    self._hook_method(part, module, method)
        if not isinstance(target, (Mapping, nn.Module)) and callable(target):
            self._hook_pipeline(target)

    def _hook_method(self, part: _Part, module: nn.Module, method: str) -> None:
        # Beneath the hooks of accelerate, which move the weights first: the move is then
        # not measured, and the hook survives when they are taken off and put on again.
        place = "_old_forward" if method == "forward" and "_old_forward" in vars(module) else method
        original = getattr(module, place)
        earlier = getattr(original, "_offhost_recorder", None)
        if earlier is not None and not earlier._closed:
            raise RecordError(f"{part.name} is being recorded already: close that recorder first")
        moves = method != "forward" and _moves_weights(type(module), method)

        @functools.wraps(original)
        def entry(*args: Any, **kwargs: Any) -> Any:
            if self._closed:
                return original(*args, **kwargs)
            if moves and hasattr(module, "_hf_hook"):
                module._hf_hook.pre_forward(module)  # what original would do, before the clock runs
            call = self._begin(part)
            if call is None:
                return original(*args, **kwargs)
            try:
                result = original(*args, **kwargs)
            except BaseException as error:
                self._end(call)
                call.request.spoil(f"{part.name} ended with {type(error).__name__}")
                raise
            self._end(call)
            if inspect.isgenerator(result) or inspect.isawaitable(result) or inspect.isasyncgen(result):
                call.request.spoil(f"{part.name} returned a {type(result).__name__}, whose work cannot be measured")
            return result

        entry._offhost_recorder = self
        fresh = place not in vars(module)
        setattr(module, place, entry)

        def restore() -> None:
            for where in ("_old_forward", method):
                if vars(module).get(where) is entry:
                    if where == method and fresh:
                        delattr(module, where)
                    else:
                        setattr(module, where, original)
                    return
            # Another tool's hook holds it: it stays, and only passes on from now.

        self._hooks.callback(restore)

    def _hook_pipeline(self, pipe: Any) -> None:
        """Make each call of pipe a request. Python looks __call__ up in the class."""
        cls = type(pipe)
        inner = cls.__call__
        if inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner):
            raise RecordError(
                f"{cls.__name__}.__call__ is asynchronous: record a mapping of its modules, and put what "
                "it calls into recorder.request()"
            )

        if inspect.isgeneratorfunction(inner):

            @functools.wraps(inner)
            def call(pipe: Any, *args: Any, **kwargs: Any) -> Any:
                with self.request():
                    return (yield from inner(pipe, *args, **kwargs))
        else:

            @functools.wraps(inner)
            def call(pipe: Any, *args: Any, **kwargs: Any) -> Any:
                with self.request():
                    return inner(pipe, *args, **kwargs)

        recorded = type(
            cls.__name__,
            (cls,),
            {"__call__": call, "__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__},
        )
        try:
            pipe.__class__ = recorded
        except TypeError as error:
            raise RecordError(
                f"calls of {cls.__name__} cannot be hooked ({error}): record a mapping of its modules, "
                "and put what it calls into recorder.request()"
            ) from None
        self._hooks.callback(setattr, pipe, "__class__", cls)

    def _unhook(self) -> None:
        self._closed = True
        self._hooks.close()

    # Calls.

    def _begin(self, part: _Part) -> _Call | None:
        """Open a call of part; None when it is not one to record."""
        request = self._request
        if request is None:
            if part.parent is None and part.name not in self._strays:
                self._strays.add(part.name)
                _warn(
                    f"{part.name} was called outside of a request, which is not recorded: "
                    "put such calls into recorder.request()"
                )
            return None
        if request.thread != threading.get_ident():
            request.spoil(f"another thread called {part.name} meanwhile")
            return None
        if any(call.part is part for call in request.stack):
            return None  # it calls itself: one call
        part.called = True
        where = part.device()
        if where != self._meter.device:
            request.spoil(
                f"{part.name} computes on {where}, but {self._meter.device} is recorded: leave it out by "
                f'exclude=["{part.name}"], or record with device="{where}"'
            )
        outer = request.stack[-1] if request.stack else None
        call = _Call(request, part)
        request.stack.append(call)
        if len(request.stack) > MAX_DEPTH:
            inside = " in ".join(c.part.name for c in reversed(request.stack))
            request.spoil(f"calls are nested deeper than a trace can say: {inside}")
        (outer.inner if outer else request.calls).append(call)
        if outer is None:
            self._meter.enter()
        call.base, peak = self._meter.mark()
        if outer is not None:
            outer.workspace = max(outer.workspace, peak - outer.base)
        call.begin = self._meter.now()
        return call

    def _end(self, call: _Call) -> None:
        call.end = self._meter.now()
        _, peak = self._meter.mark()
        call.workspace = max(call.workspace, peak - call.base)
        stack = call.request.stack
        stack.pop()
        if not stack:
            self._meter.leave()

    def _finish(self, request: _Request) -> None:
        """Keep a request that has ended, or say why it is not kept."""
        changed = [v.part for v in request.versions if v.changed()]
        request.versions = []
        if request.reason is None and not request.calls:
            request.reason = "it called none of the components"
        if request.reason is None:
            self._meter.settle()
            for call in request.walk():
                call.total_ns = self._meter.span_ns(call.begin, call.end)
                call.begin = call.end = None
                if call.total_ns > MAX_COMPUTE_NS:
                    request.reason = f"a call of {call.part.name} took more than 24 hours"
            compute_ns = sum(call.own_ns() for call in request.walk())
            if self._compute_ns + compute_ns > MAX_SUM:
                request.reason = "all calls together take more than a trace can say"
        if request.reason is not None:
            _warn(f"the {request.ordinal}. request is not in the trace: {request.reason}")
            return
        self._compute_ns += compute_ns
        for part in changed:
            part.read_only = False
        for call in request.walk():
            call.part.workspace = max(call.part.workspace, call.workspace)
        self._requests.append(request)

    # The trace.

    def _write(self) -> None:
        """Write all of the trace under a name of its own, then give it its name."""
        folder, name = os.path.split(self.path)
        temporary = os.path.join(folder, f".{name[:200]}.{os.getpid()}.tmp")
        try:
            with open(temporary, "x", encoding="utf-8", newline="\n") as file:
                for line in self._lines():
                    json.dump(line, file, ensure_ascii=False, separators=(",", ":"))
                    file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise

    def _lines(self) -> Iterator[dict[str, Any]]:
        yield _line("trace", format=FORMAT, name=self.name, description=self._description or None)
        yield _line("device", name=self._meter.name, **{k: v or None for k, v in self._hints.items()})
        for part in self._parts:
            yield _line(
                "component",
                name=part.name,
                bytes=part.bytes,
                workspace_bytes=part.workspace or None,
                read_only=part.read_only,
                parent=part.parent and part.parent.name,
                index=part.index,
            )
        whole = [part.name for part in self._parts if part.parent is None]
        seq = [name for name in self._seq if name in whole]
        yield _line("pipeline", name=self.name, components=whole, offload_seq=seq or None)
        for what, value, source, trust in self._sources():
            yield _line("source", what=what, value=value[:1000], source=source, trust=trust)
        for number, request in enumerate(self._requests, start=1):
            yield _line("begin", request=number, pipeline=self.name, steps=request.steps or None)
            for call in request.calls:
                yield from call.lines()
            yield _line("end", request=number)

    def _sources(self) -> Iterator[tuple[str, str, str, str]]:
        """What, value, source and trust of each figure."""
        weights = sum(part.bytes for part in self._parts)
        calls = sum(1 for request in self._requests for _ in request.walk())
        largest = max(part.workspace for part in self._parts)
        yield (
            "component bytes",
            f"{weights} in all",
            "measured: parameters and buffers as they lie in memory, what is shared counted once",
            "ok",
        )
        for shared in self._notes:
            yield "shared bytes", shared, "measured: tensors that components share", "low"
        yield "compute_ns", f"{calls} calls", self._meter.time_source, self._meter.time_trust
        yield "workspace_bytes", f"at most {largest}", self._meter.workspace_source, self._meter.workspace_trust
        yield "software", _software(), "the process that was recorded", "ok"
        for name, revision in self._revisions:
            yield f"weights of {name}", revision, "the module's configuration", "ok"


def _line(kind: str, **members: Any) -> dict[str, Any]:
    return {"kind": kind, **{key: value for key, value in members.items() if value is not None}}


record = Recorder  # reads better after `with`


class _Call:
    """One call of a component, with those made inside it."""

    __slots__ = ("base", "begin", "end", "inner", "part", "request", "total_ns", "workspace")

    def __init__(self, request: _Request, part: _Part) -> None:
        self.request = request
        self.part = part
        self.inner: list[_Call] = []
        self.base = 0  # allocated when it began, bytes
        self.workspace = 0  # most allocated above base while no inner call ran, bytes
        self.begin: Any = None
        self.end: Any = None
        self.total_ns = 0

    def own_ns(self) -> int:
        return max(0, self.total_ns - sum(call.total_ns for call in self.inner))

    def lines(self) -> Iterator[dict[str, Any]]:
        workspace = self.workspace if self.workspace != self.part.workspace else None
        if not self.inner:
            yield _line("call", component=self.part.name, compute_ns=self.own_ns(), workspace_bytes=workspace)
            return
        yield _line("enter", component=self.part.name, compute_ns=self.own_ns() or None, workspace_bytes=workspace)
        for call in self.inner:
            yield from call.lines()
        yield _line("exit", component=self.part.name)


class _Request:
    def __init__(self, ordinal: int, steps: int, versions: list[_Versions]) -> None:
        self.ordinal = ordinal  # among all that began, from 1
        self.steps = steps
        self.thread = threading.get_ident()
        self.calls: list[_Call] = []
        self.stack: list[_Call] = []  # open calls, outermost first
        self.versions = versions
        self.reason: str | None = None  # why it is not kept

    def spoil(self, reason: str) -> None:
        """Do not keep the request; the first reason counts."""
        if self.reason is None:
            self.reason = reason

    def walk(self) -> Iterator[_Call]:
        """Every call, the outer before the inner."""
        waiting = self.calls[::-1]
        while waiting:
            call = waiting.pop()
            yield call
            waiting.extend(reversed(call.inner))


class _Versions:
    """What torch counts of in-place changes to a component's tensors, at one time."""

    def __init__(self, part: _Part) -> None:
        self.part = part
        self._seen = [(t, t._version) for t in part.tensors() if not t.is_inference()]

    def changed(self) -> bool:
        return any(tensor._version != version for tensor, version in self._seen)


# What a target is made of.


class _Part:
    """A component: a whole one, or a block of one."""

    def __init__(self, name: str, module: nn.Module, parent: _Part | None = None) -> None:
        self.name = _text("component name", name, MAX_NAME, least=1)
        self.module = module
        self.modules = [module]  # with those whose weights are all counted here
        self.parent = parent
        self.children: list[_Part] = []
        self.bytes = 0
        self.workspace = 0
        self.read_only = True
        self.called = False

    @property
    def whole(self) -> _Part:
        return self.parent or self

    @property
    def index(self) -> int | None:
        return self.parent.children.index(self) if self.parent else None

    def tensors(self) -> Iterator[torch.Tensor]:
        """Its own parameters and buffers, those of its blocks left out."""
        yield from _tensors(self.module, {id(child.module) for child in self.children})

    def device(self) -> torch.device:
        """Where its first tensor is now; whoever offloads moves all of them."""
        return _plain(next(self.tensors()).device)

    def entry_points(self) -> list[str]:
        if self.parent is not None:
            return ["forward"]
        cls = type(self.module)
        known = [method for method in ENTRY_POINTS if inspect.isroutine(getattr(cls, method, None))]
        return known + [m for m in dir(cls) if m not in known and _moves_weights(cls, m)]


def _moves_weights(cls: type, method: str) -> bool:
    """Whether diffusers marks a method as one that is called instead of forward, so that offloading works."""
    function = inspect.getattr_static(cls, method, None)
    return getattr(function, "__globals__", {}).get("__name__") == "diffusers.utils.accelerate_utils"


def _tensors(module: nn.Module, apart: set[int] = frozenset()) -> Iterator[torch.Tensor]:
    """Parameters and buffers of a module and of what is in it; modules whose ids are apart are left out."""
    waiting, seen = [module], {id(module), *apart}
    while waiting:
        module = waiting.pop()
        yield from module.parameters(recurse=False)
        yield from module.buffers(recurse=False)
        for child in module.children():
            if id(child) not in seen:
                seen.add(id(child))
                waiting.append(child)


def _extents(tensors: Iterable[torch.Tensor]) -> dict[tuple[torch.device, int, int], None]:
    """Where tensors lie: device, address and bytes of each, in order. Tied tensors lie in one place."""
    places: dict[tuple[torch.device, int, int], None] = {}
    for tensor in tensors:
        for piece in _pieces(tensor):
            if piece.numel() > 0:
                places[piece.device, piece.data_ptr(), piece.numel() * piece.element_size()] = None
    return places


def _size(tensors: Iterable[torch.Tensor]) -> int:
    return sum(size for _, _, size in _extents(tensors))


def _pieces(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """The plain tensors that a tensor consists of: a quantised one has scales beside its values."""
    if hasattr(tensor, "__tensor_flatten__"):  # wrapper subclasses: torchao, DTensor
        for name in tensor.__tensor_flatten__()[0]:
            yield from _pieces(getattr(tensor, name))
        return
    if tensor.layout is not torch.strided:
        raise RecordError(f"a weight has the layout {tensor.layout}: want {torch.strided}, whose bytes can be counted")
    yield tensor
    beside = [getattr(tensor, "SCB", None)]  # bitsandbytes, 8 bit
    state = getattr(tensor, "quant_state", None)  # bitsandbytes, 4 bit; its scales may be quantised, too
    while state is not None:
        beside += vars(state).values()
        state = getattr(state, "state2", None)
    yield from (t for t in beside if isinstance(t, torch.Tensor))


class _Found:
    """What is recorded, before it is divided."""

    def __init__(self, name: str, modules: dict[str, nn.Module], offload_seq: list[str]) -> None:
        self.name = name
        self.modules = modules
        self.offload_seq = offload_seq


def _find(target: Any, exclude: Iterable[str]) -> _Found:
    """The modules of a target by name, first those that it declares, in its order of use."""
    name = type(target).__name__
    if isinstance(target, nn.Module):
        given: Mapping[str, Any] = {"model": target}
    elif isinstance(target, Mapping):
        name, given = "pipeline", target
        for key, value in target.items():
            if not isinstance(key, str) or not isinstance(value, nn.Module):
                raise RecordError(f"the mapping has {key!r}: {type(value).__name__}, want names and torch modules")
    elif isinstance(getattr(target, "components", None), Mapping):
        given = target.components
    else:
        given = getattr(target, "__dict__", {})
    modules = {key: value for key, value in given.items() if isinstance(value, nn.Module)}
    if not modules:
        raise RecordError(
            f"a {type(target).__name__} has no torch modules to record: want a pipeline, a mapping from names "
            "to modules, or a module"
        )
    for key in [exclude] if isinstance(exclude, str) else exclude:
        if key not in modules:
            raise RecordError(f"exclude names {key!r}: want one of {', '.join(modules)}")
        del modules[key]
    declared = getattr(target, "model_cpu_offload_seq", None)
    seq = list(dict.fromkeys(declared.split("->"))) if isinstance(declared, str) else []
    order = [key for key in seq if key in modules] + [key for key in modules if key not in seq]
    for key in order:
        _refuse(key, modules[key])
    return _Found(name, {key: modules[key] for key in order}, seq)


def _refuse(name: str, module: nn.Module) -> None:
    """Refuse a module whose calls or weights cannot be seen."""
    for inner in module.modules():
        if isinstance(inner, torch.jit.ScriptModule):
            raise RecordError(f"{name} is a TorchScript module, which has no hooks: record the original, or exclude it")
        if hasattr(inner, "_orig_mod") or getattr(inner, "_compiled_call_impl", None) is not None:
            raise RecordError(f"{name} is compiled: record the pipeline before torch.compile")
        if any("group_offloading" in hook for hook in getattr(getattr(inner, "_diffusers_hook", None), "hooks", ())):
            raise RecordError(
                f"{name} is under group offloading, which moves weights inside its calls: record the pipeline "
                "without, or with enable_model_cpu_offload()"
            )
    if any(tensor.is_meta for tensor in _tensors(module)):
        raise RecordError(
            f"{name} has weights on the meta device, as under enable_sequential_cpu_offload() or a device "
            "map that offloads: record the pipeline without, or with enable_model_cpu_offload()"
        )


def _divide(modules: dict[str, nn.Module], blocks: str | Sequence[str] | None) -> tuple[list[_Part], list[str]]:
    """The components with their sizes, a parent before its blocks, and notes on what they share."""
    chosen = _chosen_blocks(modules, blocks)
    candidates: dict[int, _Part] = {}  # by module: one that comes twice is one component
    for name, module in modules.items():
        if id(module) in candidates:
            continue
        whole = candidates[id(module)] = _Part(name, module)
        for path, block in chosen.get(name, {}).items():
            if id(block) not in candidates:
                candidates[id(block)] = _Part(path, block, whole)
                whole.children.append(candidates[id(block)])

    parts: list[_Part] = []
    counted: dict[tuple[torch.device, int, int], _Part] = {}
    shared: dict[tuple[str, str], int] = {}  # bytes, by components
    for part in candidates.values():
        owners: dict[_Part, int] = {}
        for extent in _extents(part.tensors()):
            owner = counted.setdefault(extent, part)
            if owner is part:
                part.bytes += extent[2]
            else:
                owners[owner] = owners.get(owner, 0) + extent[2]
                pair = part.whole.name, owner.whole.name
                shared[pair] = shared.get(pair, 0) + extent[2]
        if part.bytes > 0:
            parts.append(part)
        elif owners:
            max(owners, key=owners.__getitem__).modules.append(part.module)
    for part in parts:
        if part.whole.bytes == 0:
            raise RecordError(f"{part.whole.name} has no weights of its own beside its blocks: leave it out of blocks")
        part.children = [child for child in part.children if child.bytes > 0]
    if not parts:
        raise RecordError(f"{', '.join(modules)}: no weights to record")
    if len(parts) > MAX_COMPONENTS:
        raise RecordError(
            f"{len(parts)} components with their blocks: want at most {MAX_COMPONENTS}, so name fewer in blocks"
        )
    return parts, [f"{size} bytes of {name} are counted in {owner}" for (name, owner), size in shared.items()]


def _chosen_blocks(
    modules: dict[str, nn.Module], blocks: str | Sequence[str] | None
) -> dict[str, dict[str, nn.Module]]:
    """The blocks that each component is divided into, by component and by path."""
    if blocks is None:
        return {}
    if blocks == "auto":
        return _auto_blocks(modules)
    if isinstance(blocks, str):
        raise RecordError(
            f'blocks is {blocks!r}: want None, "auto", or a list of what to divide such as ["transformer"]'
        )
    chosen: dict[str, dict[str, nn.Module]] = {}
    for path in blocks:
        name = max((n for n in modules if path == n or path.startswith(n + ".")), key=len, default=None)
        if name is None:
            raise RecordError(f"blocks names {path!r}: want a component or a module in one of {', '.join(modules)}")
        inside = chosen.setdefault(name, {})
        if path == name:
            found = _blocks_in(name, modules[name])
            if not found:
                raise RecordError(f"blocks names {path!r}, which has no list of blocks: name the modules in it")
            inside.update(found)
            continue
        try:
            module = modules[name].get_submodule(path[len(name) + 1 :])
        except AttributeError as error:
            raise RecordError(f"blocks names {path!r}: {error}") from None
        inside.update(_entries(path, module) if isinstance(module, nn.ModuleList) else {path: module})
    for inside in chosen.values():
        for path, block in inside.items():
            if not _callable(block):
                raise RecordError(f"{path} is a {type(block).__name__}, which is never called: name the modules in it")
            within = {id(module) for module in block.modules()} - {id(block)}
            for other, module in inside.items():
                if id(module) in within:
                    raise RecordError(f"blocks has {other}, which is a part of {path}: want one of them")
    return chosen


def _auto_blocks(modules: dict[str, nn.Module]) -> dict[str, dict[str, nn.Module]]:
    everything = _size(tensor for module in modules.values() for tensor in _tensors(module))
    chosen = {}
    for name, module in modules.items():
        inside = _blocks_in(name, module)
        size = _size(_tensors(module))
        own = _size(_tensors(module, {id(block) for block in inside.values()}))
        if size >= COMPONENT_SHARE * everything and own > 0 and size - own >= BLOCKS_SHARE * size:
            chosen[name] = inside
    return chosen


def _blocks_in(path: str, module: nn.Module, least: float | None = None) -> dict[str, nn.Module]:
    """The entries of the outermost lists of blocks in a module that are worth it, by path."""
    if least is None:
        least = LIST_SHARE * _size(_tensors(module))
    found: dict[str, nn.Module] = {}
    for name, child in module.named_children():
        at = f"{path}.{name}"
        blocks = _entries(at, child) if isinstance(child, nn.ModuleList) else {}
        if len(blocks) > 1 and all(map(_callable, blocks.values())):
            found.update(blocks if _size(_tensors(child)) >= least else {})
        else:
            found.update(_blocks_in(at, child, least))
    return found


def _callable(module: nn.Module) -> bool:
    """Whether a module computes; one that only holds others is never called."""
    return type(module).forward is not nn.Module.forward


def _entries(path: str, modules: nn.ModuleList) -> dict[str, nn.Module]:
    return {f"{path}.{name}": module for name, module in modules.named_children()}


# Measuring.

NOT_MEASURED = "not measured", "low"  # source and trust


class _CPU:
    """Measures calls that compute on the CPU."""

    memory_bytes = 0  # not a device with memory of its own
    device = torch.device("cpu")
    time_trust = "low"

    def __init__(self, workspace: bool) -> None:
        self._measure = workspace
        self._storages: _Storages | None = None
        self.name = _cpu_name()
        self.time_source = "measured: perf_counter on the CPU, while storages were followed"
        self.workspace_source = (
            "measured: the peak of storages that a call's operations allocate, without what a kernel "
            "allocates for itself"
        )
        self.workspace_trust = "ok"
        if not workspace:
            self.time_source = "measured: perf_counter on the CPU"
            self.workspace_source, self.workspace_trust = NOT_MEASURED

    def enter(self) -> None:
        """Begin to follow an outermost call."""
        if self._measure:
            self._storages = _Storages()
            self._storages.__enter__()

    def leave(self) -> None:
        if self._storages is not None:
            self._storages.__exit__(None, None, None)
            self._storages = None

    def mark(self) -> tuple[int, int]:
        """Bytes allocated now, and the most since the last mark."""
        if self._storages is None:
            return 0, 0
        live, peak = self._storages.live, self._storages.peak
        self._storages.peak = live
        return live, peak

    def now(self) -> int:
        return time.perf_counter_ns()

    def settle(self) -> None:
        """Wait until every moment that now gave can be read."""

    def span_ns(self, begin: int, end: int) -> int:
        return end - begin


class _Storages(TorchDispatchMode):
    """Counts the bytes of storages that operations allocate, until they are freed.

    A storage counts from the operation that first returns it, unless an argument of that
    operation lies in it: views and in-place results are not new.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = 0
        self.peak = 0
        self._known: dict[int, tuple[int, weakref.ref]] = {}  # bytes, by address of the storage

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        given = {id_ for id_, _ in _storages([*args, *kwargs.values()])}
        for id_, storage in _storages([result]):
            size = storage.nbytes()
            if id_ in self._known:
                before, reference = self._known[id_]
                self.live += size - before  # resize_ and out= change a storage
                self._known[id_] = size, reference
            elif id_ not in given:
                self.live += size
                self._known[id_] = size, weakref.ref(storage, functools.partial(self._freed, id_))
        self.peak = max(self.peak, self.live)
        return result

    def _freed(self, id_: int, _: weakref.ref) -> None:
        self.live -= self._known.pop(id_)[0]


def _storages(values: Iterable[Any]) -> Iterator[tuple[int, torch.UntypedStorage]]:
    """The storages of the tensors among values, and in lists of them."""
    for value in values:
        if isinstance(value, torch.Tensor):
            for piece in _pieces(value) if value.layout is torch.strided else ():
                storage = piece.untyped_storage()
                yield storage._cdata, storage
        elif isinstance(value, (list, tuple)):
            yield from _storages(value)


class _CUDA:
    """Measures calls that compute on a CUDA (or ROCm) device, without waiting for it."""

    time_trust = "ok"

    def __init__(self, device: torch.device, workspace: bool) -> None:
        self.device = device
        self._measure = workspace
        self.name = torch.cuda.get_device_name(device)
        self.memory_bytes = torch.cuda.get_device_properties(device).total_memory
        self.time_source = "measured: CUDA events at the beginning and the end of each call"
        self.workspace_source = "measured: the peak of torch's allocator in a call, above what was allocated before it"
        self.workspace_trust = "ok"
        if not workspace:
            self.workspace_source, self.workspace_trust = NOT_MEASURED

    def enter(self) -> None:
        pass

    def leave(self) -> None:
        pass

    def mark(self) -> tuple[int, int]:
        if not self._measure:
            return 0, 0
        live, peak = torch.cuda.memory_allocated(self.device), torch.cuda.max_memory_allocated(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        return live, peak

    def now(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        return event

    def settle(self) -> None:
        torch.cuda.synchronize(self.device)

    def span_ns(self, begin: torch.cuda.Event, end: torch.cuda.Event) -> int:
        return round(begin.elapsed_time(end) * 1e6)


def _plain(device: str | torch.device) -> torch.device:
    """A device without an index on the CPU, and with one elsewhere, so that devices can be compared."""
    device = torch.device(device)
    if device.type == "cpu":
        return torch.device("cpu")
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


def _meter(device: str | torch.device | None, target: Any, parts: list[_Part], workspace: bool) -> _CPU | _CUDA:
    if device is None:
        device = getattr(target, "_execution_device", None) or parts[0].device()
    device = _plain(device)
    if device.type == "cpu":
        return _CPU(workspace)
    if device.type == "cuda":
        return _CUDA(device, workspace)
    raise RecordError(f"the modules compute on {device}: calls can be measured on cuda and on the cpu")


# What the trace says of its origin: no path, and no name of a user or machine.


def _revisions(modules: dict[str, nn.Module]) -> list[tuple[str, str]]:
    """The hub's name and revision of each module's weights, where its configuration has them."""
    found = []
    for name, module in modules.items():
        config = getattr(module, "config", None)
        get = config.get if isinstance(config, Mapping) else functools.partial(getattr, config)
        cached = re.search(
            r"models--([\w.-]+?)--([\w.-]+)[/\\]snapshots[/\\]([0-9a-f]{40})\b", str(get("_name_or_path", ""))
        )
        commit = get("_commit_hash", None)
        if cached:
            found.append((name, f"{cached[1]}/{cached[2]} at {cached[3]}"))
        elif isinstance(commit, str) and re.fullmatch("[0-9a-f]{40}", commit):
            found.append((name, f"revision {commit}"))
    return found


def _software() -> str:
    libraries = ("torch", "diffusers", "transformers", "accelerate")
    versions = [
        f"{name} {sys.modules[name].__version__}" for name in libraries if hasattr(sys.modules.get(name), "__version__")
    ]
    return ", ".join([*versions, f"Python {platform.python_version()}", f"{platform.system()} {platform.machine()}"])


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    name = names[0] if names else platform.processor() or platform.machine()
    return "".join(c for c in f"CPU {name}" if c.isprintable())[:80]


# Arguments.


def _text(what: str, value: Any, most: int, least: int = 0) -> str:
    if (
        not isinstance(value, str)
        or not least <= len(value.encode(errors="replace")) <= most
        or not value.isprintable()
    ):
        raise RecordError(f"{what} is {value!r:.100}: want {least} to {most} bytes of printable text")
    return value


def _count(what: str, value: Any, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise RecordError(f"{what} is {value!r:.100}: want a whole number from 0 to {most}")
    return value


def _writable(path: str | os.PathLike) -> str:
    """The absolute path of a trace to be written, checked before anything is recorded."""
    given = os.fspath(path)
    if not isinstance(given, str) or not given:
        raise RecordError(f"path is {given!r}: want the name of the file to write")
    folder, name = os.path.split(os.path.abspath(given))
    if not name or os.path.isdir(given):
        raise RecordError(f"path is {given!r}, a directory: want the name of the file to write")
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise RecordError(f"path is {given!r}, whose directory is missing or cannot be written to")
    return os.path.join(folder, name)


def _warn(message: str) -> None:
    """Warn at the line of the caller's that led here."""
    level, frame = 1, sys._getframe()
    while frame is not None and frame.f_code.co_filename in (__file__, contextlib.__file__):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, RecordWarning, stacklevel=level)


# The command line: help, and a trace to try offhost on.


def _demo(path: str) -> None:
    """Record three small modules with random weights on the CPU, 136 MB in all."""
    torch.manual_seed(0)
    modules = {
        "encoder": nn.Sequential(*(nn.Linear(1024, 1024) for _ in range(8))),
        "denoiser": nn.Sequential(*(nn.Linear(2048, 2048) for _ in range(5))),
        "decoder": nn.Sequential(nn.Linear(2048, 2048), nn.SiLU(), nn.Linear(2048, 256)),
    }
    with record(modules, path, name="demo", description="three modules with random weights") as recorder:
        for _ in range(3):
            with recorder.request(), torch.no_grad():
                latent = modules["encoder"](torch.randn(64, 1024)).repeat(1, 2)
                for _ in range(8):
                    latent = modules["denoiser"](latent)
                modules["decoder"](latent)


def main(arguments: Sequence[str] | None = None) -> int:
    usage, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=usage, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--demo", metavar="FILE", help="record three small modules on the CPU into FILE")
    options = parser.parse_args(arguments)
    if options.demo is None:
        parser.print_help()
        return 0
    try:
        _demo(options.demo)
    except (RecordError, OSError) as error:
        print(f"offhost_record: {error}", file=sys.stderr)
        return 1
    print(f"wrote {options.demo}; try: offhost run {options.demo} --budget 96MiB --link 25GB/s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
