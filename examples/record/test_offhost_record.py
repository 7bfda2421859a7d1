"""What the recorder measures, and what it does when something is unusual."""

from __future__ import annotations

import contextlib
import functools
import pathlib
import socket
import subprocess
import sys
import threading
import types

import pytest
import torch
from torch import nn

import measure
import offhost_record
from offhost_record import Recorder, RecordError, RecordWarning, record


class Weighted(nn.Module):
    """A module with a weight of 4 * n bytes that runs a function of its input."""

    def __init__(self, n: int, run=lambda x: x + 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n), requires_grad=False)
        self.run = run

    def forward(self, *args, **kwargs):
        return self.run(*args, **kwargs)


class Clock:
    """A clock for perf_counter_ns that only tick moves."""

    def __init__(self, monkeypatch) -> None:
        self.now = 1000
        monkeypatch.setattr(offhost_record.time, "perf_counter_ns", lambda: self.now)

    def tick(self, ns: int, x=None):
        self.now += ns
        return x


def kib(n: float) -> torch.Tensor:
    return torch.zeros(int(n * 256))


# Sizes.


def test_tied_tensors_count_once_in_the_component_that_comes_first(trace):
    first, second = nn.Linear(8, 8, bias=False), nn.Linear(8, 8)
    second.weight = first.weight
    with record({"first": first, "second": second}, trace.path) as recorder, recorder.request():
        second(first(torch.zeros(8)))
    assert trace().sizes() == {"first": 8 * 8 * 4, "second": 8 * 4}
    assert "256 bytes of second are counted in first" in trace().text


def test_a_tensor_tied_inside_a_module_and_transposed_counts_once(trace):
    module = nn.Module()
    module.a = nn.Parameter(torch.zeros(4, 6))
    module.b = nn.Parameter(module.a.data.t())
    module.register_buffer("c", torch.zeros(3, dtype=torch.int8))
    module.forward = lambda x: x
    with record(module, trace.path) as recorder, recorder.request():
        module(kib(1))
    assert trace().sizes() == {"model": 4 * 6 * 4 + 3}


def test_modules_whose_weights_are_all_counted_elsewhere_are_called_under_that_name(trace):
    first = Weighted(4)
    twin = Weighted(4)
    twin.weight = first.weight
    with record({"first": first, "again": first, "twin": twin}, trace.path) as recorder, recorder.request():
        first(kib(1)), twin(kib(1))
    assert trace().sizes() == {"first": 16}
    assert trace().called() == ["first", "first"]


def test_divided_components_that_share_everything_are_called_under_one_name(trace):
    first, twin = Stack(), Stack()
    twin.load_state_dict(first.state_dict(), assign=True)
    with record({"first": first, "twin": twin}, trace.path, blocks="auto") as recorder, recorder.request():
        twin(first(torch.zeros(16)))
    inside = "first.layers.0 first.layers.1 first.layers.2"
    assert trace().shape() == f"first({inside}) first({inside})"
    assert trace().sizes() == {"first": sum(p.numel() * 4 for p in first.parameters())}


def test_modules_without_weights_are_no_components(trace):
    act, m = nn.ReLU(), Weighted(4)
    with record({"act": act, "m": m}, trace.path) as recorder, recorder.request():
        m(act(kib(1)))
    assert trace().sizes() == {"m": 16}
    assert trace().shape() == "m"


def test_quantised_weights_count_as_they_lie_in_memory(trace):
    packed = nn.Parameter(torch.zeros(100, dtype=torch.uint8), requires_grad=False)
    nested = types.SimpleNamespace(absmax=torch.zeros(2), code=torch.zeros(4), state2=None)
    packed.quant_state = types.SimpleNamespace(
        absmax=torch.zeros(10, dtype=torch.uint8),
        code=torch.zeros(16),
        offset=torch.zeros(()),
        state2=nested,
        blocksize=64,
    )
    four_bit = nn.Module()
    four_bit.weight, four_bit.forward = packed, lambda x: x
    eight_bit = nn.Module()
    eight_bit.weight = nn.Parameter(torch.zeros(50, dtype=torch.int8), requires_grad=False)
    eight_bit.weight.SCB = torch.zeros(5)
    eight_bit.forward = lambda x: x
    with record({"four": four_bit, "eight": eight_bit}, trace.path) as recorder, recorder.request():
        four_bit(eight_bit(kib(1)))
    assert trace().sizes() == {"four": 100 + 10 + 16 * 4 + 4 + 2 * 4 + 4 * 4, "eight": 50 + 5 * 4}


def test_wrapper_subclasses_count_as_the_tensors_inside(trace):
    from torch.testing._internal.two_tensor import TwoTensor

    module = nn.Module()
    module.weight = nn.Parameter(TwoTensor(torch.zeros(10), torch.zeros(10)), requires_grad=False)
    module.forward = lambda x: x
    with record({"m": module}, trace.path) as recorder, recorder.request():
        module(kib(1))
    assert trace().sizes() == {"m": 80}


# Workspace.


@pytest.mark.parametrize(
    ("run", "want_kib"),
    [
        (lambda x: x, 0),
        (lambda x: x + 1, 4),
        (lambda x: x.view(2, -1).t().add_(1), 0),  # views and in-place work allocate nothing
        (lambda x: torch.cat([x, x]) * 2, 16),  # 8 held while 8 more are made
        (lambda x: x.repeat(8).sum(), 32 + 4 / 1024),
        (
            lambda x: (x.repeat(8).sum(), x.repeat(4).sum())[1],
            32 + 4 / 1024,
        ),  # the first is freed: the peak, not the sum
        (lambda x: (x.repeat(8).sum(), x.repeat(9).sum())[1], 36 + 8 / 1024),
        (lambda x: torch.split(x + 1, 256), 4),  # a list of views
        (lambda x: torch.chunk(torch.stack([x, x]), 2), 8),
        (lambda x: torch.add(x, 1, out=torch.empty(0)), 4),  # out= grows what was empty
        (lambda x: torch.empty(0).resize_(2048), 8),
        (lambda x: [torch.empty(1024) for _ in range(3)], 12),
        (lambda x: nn.functional.linear(x, torch.ones(16, 1024)), 64 + 64 / 1024),
    ],
)
def test_workspace_is_the_peak_of_what_a_call_allocates(trace, run, want_kib):
    m = Weighted(4, run)
    with record({"m": m}, trace.path) as recorder, recorder.request():
        m(kib(4))
    assert trace().workspace("m") == want_kib * 1024


def test_what_was_allocated_before_a_call_is_not_its_workspace(trace):
    held = []
    keep = Weighted(4, lambda x: held.append(x + 1))
    use = Weighted(4, lambda: held.pop().mul_(2).sum())
    with record({"keep": keep, "use": use}, trace.path) as recorder, recorder.request():
        keep(kib(64))
        use()
    assert trace().workspace("keep") == 64 * 1024
    assert trace().workspace("use") == 4


def test_a_parent_and_its_block_share_the_peak(trace):
    block = Weighted(4, lambda x: (torch.cat([x, x, x]).sum(), x)[1])  # 48 of its own

    def run(x):
        big = torch.cat([x, x])  # 32 held while the block runs
        x = block(x)
        del big
        return (torch.cat([x, x, x]).sum(), x + 1)[1]  # 48 later, when nothing else is held

    parent = Weighted(8, run)
    parent.block = block
    with record({"parent": parent}, trace.path, blocks=["parent.block"]) as recorder, recorder.request():
        parent(kib(16))
    assert trace().shape() == "parent(parent.block)"
    assert trace().workspace("parent") == 48 * 1024 + 4
    assert trace().workspace("parent.block") == 48 * 1024 + 4
    with record({"parent": parent}, trace.path) as recorder, recorder.request():
        parent(kib(16))
    assert trace().workspace("parent") == (32 + 48) * 1024 + 4  # both at once


@pytest.mark.parametrize(("before", "held", "after", "want"), [(9, 0, 0, 9), (5, 3, 0, 8), (0, 7, 0, 7), (0, 1, 6, 7)])
def test_a_parents_workspace_is_its_most_before_during_and_after_its_block(trace, before, held, after, want):
    block = Weighted(4, lambda: (kib(100), None)[1])

    def run():
        keep = kib(held)
        kib(before)  # freed at once
        block()
        kib(after)
        return keep

    parent = Weighted(8, run)
    parent.block = block
    with record({"parent": parent}, trace.path, blocks=["parent.block"]) as recorder, recorder.request():
        parent()
    assert trace().workspace("parent") == want * 1024
    assert trace().workspace("parent.block") == 100 * 1024


def test_calls_that_differ_say_so(trace):
    m = Weighted(4)
    with record({"m": m}, trace.path) as recorder, recorder.request():
        m(kib(1)), m(kib(4)), m(kib(2))
    assert trace().components["m"]["workspace_bytes"] == 4096
    assert [c.get("workspace_bytes") for c in trace().requests()[0]] == [1024, None, 2048]


def test_a_storage_is_followed_although_nobody_holds_its_python_object():
    storages = offhost_record._Storages()
    with storages:
        x = torch.zeros(256)
        view = x[1:]
        del x
        assert storages.live == 1024
        del view
        assert storages.live == 0
    assert storages.peak == 1024


def test_the_peak_is_that_of_torchs_allocator():
    torch.manual_seed(0)
    m = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.LayerNorm(32), nn.Linear(32, 300), nn.Softmax(-1))
    x = torch.randn(3, 50, 16)
    with torch.no_grad():
        m(x)
        assert measure.recorded("m", m, lambda: m(x), workspace=True)[0] == measure.allocator_peak(lambda: m(x)) > 0


def test_without_workspace_nothing_is_counted_and_the_trace_says_so(trace):
    m = Weighted(4)
    with record({"m": m}, trace.path, workspace=False) as recorder, recorder.request():
        m(kib(4))
    assert "workspace_bytes" not in trace().components["m"]
    source = {
        "kind": "source",
        "what": "workspace_bytes",
        "value": "at most 0",
        "source": "not measured",
        "trust": "low",
    }
    assert source in trace().lines


# Time and order.


def test_time_inside_a_call_belongs_to_the_innermost(trace, monkeypatch):
    clock = Clock(monkeypatch)
    block = Weighted(4, lambda x: clock.tick(30, x))

    def run(x):
        clock.tick(1)
        x = block(x)
        clock.tick(2)
        x = block(x)
        return clock.tick(4, x)

    parent = Weighted(4, run)
    parent.block = block
    with record({"parent": parent}, trace.path, blocks=["parent.block"]) as recorder, recorder.request():
        clock.tick(1000)  # between calls: nobody's
        parent(kib(1))
        clock.tick(1000)
    assert [(r["kind"], r.get("compute_ns")) for r in trace().requests()[0]] == [
        ("enter", 7),
        ("call", 30),
        ("call", 30),
        ("exit", None),
    ]


def test_components_may_call_one_another(trace, offhost):
    inner = Weighted(4)
    outer = Weighted(4, lambda x: inner(inner(x)))
    with record({"outer": outer, "inner": inner}, trace.path) as recorder, recorder.request():
        inner(outer(kib(1)))
    assert trace().shape() == "outer(inner inner) inner"
    offhost("trace", "check", trace.path)


def test_a_module_that_calls_itself_is_one_call(trace):
    m = Weighted(4, lambda x, depth=3: x if depth == 0 else m(x, depth - 1))
    with record({"m": m}, trace.path) as recorder, recorder.request():
        m(kib(1)), m(kib(1))
    assert trace().shape() == "m m"


def test_deeper_nesting_than_a_trace_can_say_drops_the_request(trace):
    modules: dict[str, nn.Module] = {"d": Weighted(4)}
    for name, inner in ("cd", "bc", "ab"):
        modules[name] = Weighted(4, lambda x, inner=inner: modules[inner](x))
    with record(modules, trace.path) as recorder:
        with recorder.request():
            modules["b"](kib(1))
        with pytest.warns(RecordWarning, match="d in c in b in a"), recorder.request():
            modules["a"](kib(1))
    assert [trace().shape(i) for i in range(len(trace().requests()))] == ["b(c(d))"]


def test_forward_called_by_name_and_other_entry_points(trace):
    class Coder(nn.Linear):
        def encode(self, x):
            return self(x)  # goes through forward: one call

        def decode(self, x):
            return x @ self.weight

        def tiled_decode(self, x):
            return self.decode(x)

    m = Coder(4, 4)
    x = torch.zeros(4)
    with record({"m": m}, trace.path, methods={"m": ["tiled_decode"]}) as recorder:
        for method in (m.forward, m.encode, m.decode, m.tiled_decode, m):
            with recorder.request():
                method(x)
    assert [trace().shape(i) for i in range(5)] == ["m"] * 5


def test_requests_are_numbered_and_announce_steps(trace, offhost):
    m = Weighted(4)
    with record({"m": m}, trace.path, name="p", description="two", steps=7) as recorder:
        with recorder.request():
            m(kib(1))
        with recorder.request(steps=9):
            m(kib(1))
    assert trace().all("begin") == [
        {"kind": "begin", "request": 1, "pipeline": "p", "steps": 7},
        {"kind": "begin", "request": 2, "pipeline": "p", "steps": 9},
    ]
    assert trace().lines[0] == {"kind": "trace", "format": "offhost.trace/1", "name": "p", "description": "two"}
    offhost("trace", "check", trace.path)


# What changes weights.


def test_only_components_that_calls_change_are_not_read_only(trace):
    norm, plain = nn.BatchNorm1d(4), nn.BatchNorm1d(4).eval()
    with record({"norm": norm, "plain": plain}, trace.path) as recorder, recorder.request(), torch.no_grad():
        plain(norm(torch.rand(3, 4)))
    assert {n: c["read_only"] for n, c in trace().components.items()} == {"norm": False, "plain": True}


def test_weights_made_in_inference_mode_are_recorded(trace):
    with torch.inference_mode():
        m = nn.Linear(4, 4)
        with record({"m": m}, trace.path) as recorder, recorder.request():
            m(torch.zeros(4))
    assert trace().components["m"]["read_only"] is True


# Blocks.


class Stack(nn.Module):
    def __init__(self, n: int = 3, own: int = 4) -> None:
        super().__init__()
        self.embed = nn.Linear(own, own) if own else nn.Identity()
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(16, 16), nn.ReLU()) for _ in range(n))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def test_blocks_by_name(trace):
    for blocks, names in (
        (None, ["m"]),
        (["m"], ["m", "m.layers.0", "m.layers.1", "m.layers.2"]),
        (["m.layers"], ["m", "m.layers.0", "m.layers.1", "m.layers.2"]),
        (["m.layers.1"], ["m", "m.layers.1"]),
        ("auto", ["m", "m.layers.0", "m.layers.1", "m.layers.2"]),
    ):
        m = Stack()
        with record({"m": m}, trace.path, blocks=blocks) as recorder, recorder.request():
            m(torch.zeros(16))
        assert list(trace().components) == names
        assert trace().sizes() == {"m": sum(p.numel() * 4 for p in m.parameters())}
        inside = " ".join(names[1:])
        assert trace().shape() == (f"m({inside})" if inside else "m")
        assert [c.get("index") for c in trace().components.values()] == [None, *range(len(names) - 1)]


def test_auto_leaves_small_components_and_small_lists_whole(trace):
    large, small = Stack(n=20), Stack(n=2)
    large.tiny = nn.ModuleList(nn.Linear(1, 1) for _ in range(2))
    with record({"large": large, "small": small}, trace.path, blocks="auto") as recorder, recorder.request():
        small(large(torch.zeros(16)))
    names = list(trace().components)
    assert names == ["large", *(f"large.layers.{i}" for i in range(20)), "small"]


def test_a_block_used_twice_is_one_component(trace):
    m = Stack(n=1)
    m.layers.append(m.layers[0])
    with record({"m": m}, trace.path, blocks=["m.layers"]) as recorder, recorder.request():
        m(torch.zeros(16))
    assert trace().shape() == "m(m.layers.0 m.layers.0)"


def test_blocks_without_weights_stay_in_the_parent(trace):
    m = Stack(n=2)
    m.layers.insert(1, nn.ReLU())
    with record({"m": m}, trace.path, blocks=["m.layers"]) as recorder, recorder.request():
        m(torch.zeros(16))
    assert trace().shape() == "m(m.layers.0 m.layers.2)"
    assert [c.get("index") for c in trace().components.values()] == [None, 0, 1]


def test_a_tensor_shared_by_parent_and_block_is_the_parents(trace):
    m = Stack(n=2)
    m.head = m.layers[1][0]
    with record({"m": m}, trace.path, blocks=["m.layers"]) as recorder, recorder.request():
        m(torch.zeros(16))
    assert {n: c["bytes"] for n, c in trace().components.items()} == {
        "m": (4 * 4 + 4 + 16 * 16 + 16) * 4,
        "m.layers.0": (16 * 16 + 16) * 4,
    }
    assert trace().shape() == "m(m.layers.0)"


# What goes wrong.


def boom(x):
    raise ZeroDivisionError("boom")


def test_a_request_that_fails_is_dropped_and_the_others_are_kept(trace):
    good, bad = Weighted(4), Weighted(4, boom)
    with record({"good": good, "bad": bad}, trace.path) as recorder:
        with recorder.request():
            good(kib(1))
        with pytest.warns(RecordWarning, match="bad ended with ZeroDivisionError"):
            with pytest.raises(ZeroDivisionError), recorder.request():
                good(kib(1)), bad(kib(1))
        with pytest.warns(RecordWarning, match="bad ended with"), recorder.request():
            with contextlib.suppress(ZeroDivisionError):  # a call that broke off is no call, though the request went on
                bad(kib(1))
        with pytest.warns(RecordWarning, match="it ended with KeyError"):
            with pytest.raises(KeyError), recorder.request():
                good(kib(1))
                raise KeyError
        with recorder.request():
            good(kib(1))
    assert [trace().shape(i) for i in range(len(trace().requests()))] == ["good", "good"]


def test_an_exception_that_leaves_the_recording_keeps_complete_requests(trace):
    m = Weighted(4)
    with pytest.raises(KeyboardInterrupt), pytest.warns(RecordWarning, match="KeyboardInterrupt"):
        with record({"m": m}, trace.path) as recorder:
            with recorder.request():
                m(kib(1))
            with recorder.request():
                m(kib(1))
                raise KeyboardInterrupt
    assert len(trace().requests()) == 1
    assert "forward" not in vars(m)


def test_nothing_is_written_when_nothing_was_recorded(trace):
    m = Weighted(4)
    trace.path.write_text("an older trace")
    with pytest.raises(RecordError, match=r"no request was recorded, so .* is not written"):
        with record({"m": m}, trace.path):
            pass
    with pytest.raises(RecordError, match=r"no request was recorded \(1 left out, as warned\)"):
        with record({"m": m}, trace.path) as recorder, pytest.warns(RecordWarning), recorder.request():
            pass
    with pytest.raises(ZeroDivisionError), record({"m": m}, trace.path):
        boom(1)
    assert trace.path.read_text() == "an older trace"
    assert "forward" not in vars(m)
    assert [p.name for p in trace.path.parent.iterdir()] == [trace.path.name]


def test_a_write_that_fails_leaves_what_was_there(trace, monkeypatch):
    m = Weighted(4)
    trace.path.write_text("an older trace")
    recorder = Recorder({"m": m}, trace.path)
    with recorder.request():
        m(kib(1))
    monkeypatch.setattr(
        offhost_record.os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(OSError, match="No space left"):
        recorder.close()
    assert trace.path.read_text() == "an older trace"
    assert [p.name for p in trace.path.parent.iterdir()] == [trace.path.name]


def test_calls_outside_a_request_are_not_recorded_and_said_once(trace):
    m = Weighted(4)
    with record({"m": m}, trace.path) as recorder:
        with pytest.warns(RecordWarning, match="m was called outside of a request") as caught:
            m(kib(1)), m(kib(1))
        assert len(caught) == 1
        with recorder.request():
            m(kib(1))
    assert trace().shape() == "m"


def test_components_that_were_never_called_are_named(trace):
    m, other = Weighted(4), Weighted(4)
    with pytest.warns(RecordWarning, match=r'other was never called.*methods=\{"other"'):
        with record({"m": m, "other": other}, trace.path) as recorder, recorder.request():
            m(kib(1))
    assert list(trace().components) == ["m", "other"]


def test_an_empty_request_is_dropped(trace):
    m = Weighted(4)
    with record({"m": m}, trace.path) as recorder:
        with recorder.request():
            m(kib(1))
        with pytest.warns(RecordWarning) as caught, recorder.request():
            pass
    (warning,) = caught
    assert str(warning.message) == "the 2. request is not in the trace: it called none of the components"
    assert warning.filename == __file__, "it points at the line that made the request"
    assert len(trace().requests()) == 1


def test_a_component_on_another_device_drops_the_request(trace, monkeypatch):
    m = Weighted(4)
    with record({"m": m}, trace.path) as recorder:
        with recorder.request():
            m(kib(1))
        monkeypatch.setattr(offhost_record._Part, "device", lambda part: torch.device("cuda", 0))
        with (
            pytest.warns(RecordWarning, match=r'm computes on cuda:0, but cpu is recorded.*exclude=\["m"\]'),
            recorder.request(),
        ):
            m(kib(1))
    assert len(trace().requests()) == 1


def run_thread(target) -> threading.Thread:
    thread = threading.Thread(target=target)
    thread.start()
    return thread


def test_requests_of_threads_wait_for_one_another(trace, offhost):
    m = Weighted(4)
    inside, begun = threading.Event(), threading.Event()

    def other() -> None:
        begun.set()
        with recorder.request():
            inside.set()
            m(kib(1)), m(kib(1))

    with record({"m": m}, trace.path) as recorder:
        with recorder.request():
            thread = run_thread(other)
            assert begun.wait(10)
            assert not inside.wait(0.2)  # it waits as long as this request is open
            m(kib(1))
        thread.join()
    assert [trace().shape(i) for i in range(2)] == ["m", "m m"]
    offhost("trace", "check", trace.path)


def test_many_threads_record_whole_requests(trace, offhost):
    a, b = Weighted(4), Weighted(4)

    def generate() -> None:
        for _ in range(20):
            with recorder.request():
                b(a(a(kib(1))))

    with record({"a": a, "b": b}, trace.path) as recorder:
        for thread in [run_thread(generate) for _ in range(4)]:
            thread.join()
    assert {trace().shape(i) for i in range(80)} == {"a a b"}
    assert trace().components["a"]["workspace_bytes"] == 1024
    offhost("trace", "check", trace.path)


def test_a_call_by_another_thread_inside_a_request_drops_it(trace):
    m = Weighted(4)
    with record({"m": m}, trace.path) as recorder:
        with pytest.warns(RecordWarning, match="another thread called m"), recorder.request():
            run_thread(lambda: m(kib(1))).join()
        with recorder.request():
            m(kib(1))
    assert len(trace().requests()) == 1


def test_a_forward_that_returns_a_generator_drops_the_request(trace):
    def lazy(x):
        yield x + 1

    async def later(x):
        return x

    m, lazy_m, later_m = Weighted(4), Weighted(4, lazy), Weighted(4, later)
    with record({"m": m, "lazy": lazy_m, "later": later_m}, trace.path) as recorder:
        with pytest.warns(RecordWarning, match="lazy returned a generator"), recorder.request():
            assert next(lazy_m(kib(1)))[0] == 1
        with pytest.warns(RecordWarning, match="later returned a coroutine"), recorder.request():
            later_m(kib(1)).close()
        with recorder.request():
            m(kib(1))
    assert len(trace().requests()) == 1


class Pipe:
    """A pipeline that is none of diffusers'."""

    def __init__(self, call) -> None:
        self.m = Weighted(4)
        self.scheduler = object()
        self.call = call

    def __call__(self, *args):
        """Calls."""
        return self.call(self, *args)


class StreamingPipe(Pipe):
    def __call__(self, n):
        for _ in range(n):
            yield self.m(kib(1))
        return "done"


def test_each_call_of_a_pipeline_is_a_request(trace):
    pipe = Pipe(lambda pipe, n: [pipe.m(kib(1)) for _ in range(n)])
    with record(pipe, trace.path) as recorder:
        assert type(pipe).__name__ == "Pipe" and isinstance(pipe, Pipe) and type(pipe).__call__.__doc__ == "Calls."
        pipe(1)
        pipe(2)
        with recorder.request():  # what belongs together
            pipe(1), pipe.m(kib(1))
    assert type(pipe) is Pipe
    assert trace().all("pipeline") == [{"kind": "pipeline", "name": "Pipe", "components": ["m"]}]
    assert [trace().shape(i) for i in range(3)] == ["m", "m m", "m m"]


def test_a_pipeline_that_streams_is_a_request_until_its_end(trace):
    pipe = StreamingPipe(None)
    with record(pipe, trace.path):
        assert len(list(pipe(3))) == 3
        with pytest.warns(RecordWarning, match="GeneratorExit"):
            broken_off = pipe(3)
            next(broken_off)
            broken_off.close()
    assert [trace().shape(i) for i in range(len(trace().requests()))] == ["m m m"]


def test_hooks_are_gone_afterwards_and_what_was_there_is_back(trace):
    plain, replaced = Weighted(4), Weighted(4)
    replaced.forward = forward = lambda x: x + 2
    before = vars(plain).keys() | set()
    recorder = Recorder({"plain": plain, "replaced": replaced}, trace.path)
    with recorder.request():
        replaced(plain(kib(1)))
    recorder.close()
    recorder.close()  # again: nothing
    assert vars(plain).keys() == before
    assert vars(replaced)["forward"] is forward
    with pytest.raises(RecordError, match="closed"), recorder.request():
        pass


def test_a_hook_put_on_top_meanwhile_stays_and_ours_passes_on(trace):
    m = Weighted(4)
    with record({"m": m}, trace.path) as recorder:
        ours = m.forward
        m.forward = functools.wraps(ours)(lambda x: ours(x) + 10)  # as other tools do
        with recorder.request():
            m(kib(1))
    assert m(kib(1))[0] == 11  # neither recorded nor warned of
    with record({"m": m}, trace.path) as recorder, recorder.request():
        m(kib(1))
    assert trace().shape() == "m"


def test_closing_inside_a_request_is_refused(trace):
    m = Weighted(4)
    with record({"m": m}, trace.path) as recorder, recorder.request():
        m(kib(1))
        with pytest.raises(RecordError, match="a request is open"):
            recorder.close()


def test_compiled_scripted_and_meta_modules_are_refused(trace):
    compiled = Weighted(4)
    compiled.compile(backend="eager")
    for module, message in (
        (torch.compile(Weighted(4), backend="eager"), "is compiled: record the pipeline before torch.compile"),
        (compiled, "is compiled"),
        (torch.jit.script(nn.Linear(2, 2)), "is a TorchScript module"),
        (nn.Linear(2, 2, device="meta"), "enable_sequential_cpu_offload"),
    ):
        with pytest.raises(RecordError, match=message):
            record({"m": module}, trace.path)


class Slots:
    __slots__ = ("components",)

    def __call__(self):
        pass


async def acall(self):
    pass


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        (object(), {}, "a object has no torch modules"),
        ({}, {}, "a dict has no torch modules"),
        ({"a": 1}, {}, "the mapping has 'a': int"),
        ({1: nn.Linear(1, 1)}, {}, "the mapping has 1: Linear"),
        ({"": nn.Linear(1, 1)}, {}, "component name is ''"),
        ({"a\nb": nn.Linear(1, 1)}, {}, "component name is 'a.nb'"),
        ({"x" * 256: nn.Linear(1, 1)}, {}, "1 to 255 bytes"),
        ({"act": nn.ReLU()}, {}, "no weights to record"),
        (None, {"name": ""}, "name is ''"),
        (None, {"name": "\ud800"}, "printable"),
        (None, {"description": "a\tb"}, "description is"),
        (None, {"steps": -1}, "steps is -1: want a whole number from 0"),
        (None, {"steps": 2.5}, "steps is 2.5"),
        (None, {"memory_bytes": True}, "memory_bytes is True"),
        (None, {"h2d_bytes_per_second": 25e9}, "h2d_bytes_per_second is 25000000000.0"),
        (None, {"exclude": ["b"]}, "exclude names 'b': want one of m"),
        (None, {"exclude": "m"}, "no weights to record"),
        (None, {"methods": {"b": []}}, "methods names 'b': want one of m"),
        (None, {"methods": {"m": ["nope"]}}, "m has no method 'nope'"),
        (None, {"device": "meta"}, "calls can be measured on cuda and on the cpu"),
        (None, {"device": "mps"}, "compute on mps"),
        (None, {"blocks": "all"}, 'blocks is .all.: want None, "auto"'),
        (None, {"blocks": ["b"]}, "blocks names 'b': want a component or a module in one of m"),
        (None, {"blocks": ["m.b"]}, "blocks names 'm.b': "),
        (Stack(), {"blocks": ["model", "model.layers.0.0"]}, "model.layers.0.0, which is a part of model.layers.0"),
        (nn.Sequential(nn.Linear(1, 1)), {"blocks": ["model.0"]}, "model has no weights of its own beside its blocks"),
        (nn.Linear(1, 1), {"blocks": ["model"]}, "has no list of blocks"),
        (nn.ModuleDict({"a": nn.ModuleList([nn.Linear(1, 1)])}), {"blocks": ["model.a", "model"]}, "no list of blocks"),
        (Stack(5000), {"blocks": ["model"]}, "5001 components with their blocks: want at most 4096"),
        (type("Async", (Pipe,), {"__call__": acall})(None), {}, "Async.__call__ is asynchronous"),
    ],
)
def test_what_cannot_be_recorded_is_refused_before_anything_is_hooked(trace, target, options, message):
    target = {"m": Weighted(4)} if target is None else target
    with pytest.raises(RecordError, match=message):
        record(target, trace.path, **options)
    for module in target.values() if isinstance(target, dict) else ():
        assert not isinstance(module, nn.Module) or "forward" not in vars(module)


def test_a_pipeline_whose_class_cannot_be_changed_is_refused(trace):
    pipe = Slots()
    pipe.components = {"m": Weighted(4)}
    with pytest.raises(RecordError, match="calls of Slots cannot be hooked"):
        record(pipe, trace.path)
    assert "forward" not in vars(pipe.components["m"])


def test_what_is_recorded_cannot_be_recorded_twice_at_once(trace):
    m = Weighted(4)
    with record({"m": m}, trace.path) as recorder:
        with pytest.raises(RecordError, match="m is being recorded already"):
            record({"m": m}, trace.path)
        with recorder.request():
            m(kib(1))


def test_where_nothing_can_be_written_is_said_before_anything_is_recorded(tmp_path):
    m = {"m": Weighted(4)}
    for path, message in (
        (tmp_path, "a directory"),
        (tmp_path / "missing" / "t.jsonl", "directory is missing"),
        ("", "want the name of the file"),
        (b"t", "want the name of the file"),
    ):
        with pytest.raises(RecordError, match=message):
            record(m, path)


# CUDA, as far as it can be tested without: an allocator and a clock in torch's place.


class FakeCUDA:
    def __init__(self, monkeypatch) -> None:
        self.allocated = self.peak = 10_000  # what others hold
        self.clock_ns = 0
        self.synchronized = 0
        fake = self

        class Event:
            def __init__(self, enable_timing: bool) -> None:
                assert enable_timing

            def record(self, stream) -> None:
                assert stream == "the stream of cuda:0"
                self.at = fake.clock_ns

            def elapsed_time(self, end) -> float:
                assert fake.synchronized, "an event was read before it happened"
                return (end.at - self.at) / 1e6

        for name, value in {
            "Event": Event,
            "current_stream": lambda device: f"the stream of {device}",
            "get_device_name": lambda device: "Fake RTX",
            "get_device_properties": lambda device: types.SimpleNamespace(total_memory=24 << 30),
            "memory_allocated": lambda device: self.allocated,
            "max_memory_allocated": lambda device: self.peak,
            "reset_peak_memory_stats": lambda device: setattr(self, "peak", self.allocated),
            "synchronize": lambda device: setattr(self, "synchronized", self.synchronized + 1),
            "current_device": lambda: 0,
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)
        monkeypatch.setattr(offhost_record._Part, "device", lambda part: torch.device("cuda", 0))

    def compute(self, ns: int, allocate: int = 0, free: int = 0) -> None:
        self.clock_ns += ns
        self.allocated += allocate
        self.peak = max(self.peak, self.allocated)
        self.allocated -= free


def test_cuda_is_measured_by_events_and_by_the_allocators_peak(trace, monkeypatch, offhost):
    cuda = FakeCUDA(monkeypatch)
    block = Weighted(4, lambda: cuda.compute(5_000, allocate=700, free=700))

    def run() -> None:
        cuda.compute(1_000, allocate=300)  # held while the block runs
        block()
        cuda.compute(2_000, allocate=100, free=400)

    parent = Weighted(4, run)
    parent.block = block
    with record({"parent": parent}, trace.path, blocks=["parent.block"], device="cuda") as recorder:
        cuda.compute(0, allocate=99_999, free=99_999)  # before it: a peak that is nobody's
        for _ in range(2):
            with recorder.request():
                for _ in range(3):
                    parent()
    assert cuda.synchronized == 2  # once a request, not once a call
    assert cuda.allocated == 10_000
    assert trace().shape(1) == "parent(parent.block) parent(parent.block) parent(parent.block)"
    assert trace().requests()[0][0] == {"kind": "enter", "component": "parent", "compute_ns": 3_000}
    assert trace().requests()[0][1] == {"kind": "call", "component": "parent.block", "compute_ns": 5_000}
    assert trace().workspace("parent") == 400 and trace().workspace("parent.block") == 700
    assert trace().all("device") == [{"kind": "device", "name": "Fake RTX", "memory_bytes": 24 << 30}]
    offhost("trace", "check", trace.path)


# The trace's origin, and the command line.


def test_a_trace_says_where_it_comes_from_and_nothing_about_its_author(trace, monkeypatch):
    monkeypatch.chdir(trace.path.parent)
    sha = "0123456789abcdef0123456789abcdef01234567"
    cached, hub, local = Weighted(4), Weighted(4), Weighted(4)
    cached.config = {
        "_name_or_path": f"/home/ada/.cache/huggingface/hub/models--acme--Tiny-1.dev/snapshots/{sha}/transformer"
    }
    hub.config = types.SimpleNamespace(_name_or_path="/home/ada/weights", _commit_hash=sha)
    local.config = types.SimpleNamespace(_name_or_path="ada/secret-model")
    with record({"cached": cached, "hub": hub, "local": local}, trace.path.name) as recorder, recorder.request():
        local(hub(cached(kib(1))))
    sources = {line["what"]: line.get("value") for line in trace().all("source")}
    assert sources["weights of cached"] == f"acme/Tiny-1.dev at {sha}"
    assert sources["weights of hub"] == f"revision {sha}"
    assert "weights of local" not in sources
    assert sources["software"].startswith(f"torch {torch.__version__}, ")
    for private in ("ada", socket.gethostname(), str(pathlib.Path.cwd()), str(pathlib.Path.home())):
        assert private not in trace().text


def test_hints_are_enough_for_a_replay(trace, offhost):
    a, b = Weighted(1 << 20), Weighted(1 << 20)
    with record(
        {"a": a, "b": b},
        trace.path,
        memory_bytes=6 << 20,
        h2d_bytes_per_second=10**9,
        d2h_bytes_per_second=10**9,
        pageable_bytes_per_second=10**8,
    ) as recorder:
        for _ in range(2):
            with recorder.request():
                b(a(kib(1)))
    shown = offhost("run", trace.path, "--baselines", "lru").stdout
    assert "2 requests   budget 6 MiB   link 1.00 GB/s" in shown


def test_help_shows_how_to_use_it():
    done = subprocess.run(
        [sys.executable, offhost_record.__file__, "--help"], capture_output=True, text=True, check=True
    )
    assert 'with offhost_record.record(pipe, "trace.jsonl"):' in done.stdout


def test_the_demonstration_can_be_replayed_as_it_says(trace, offhost, capsys):
    assert offhost_record.main(["--demo", str(trace.path)]) == 0
    command = capsys.readouterr().out.partition("try: offhost ")[2].split()
    assert "denoiser" in offhost(*command).stdout
    assert offhost_record.main(["--demo", str(trace.path.parent)]) == 1
    assert "a directory" in capsys.readouterr().err


def test_a_missing_torch_is_said_in_one_line(tmp_path):
    bare = [sys.executable, "-I", "-S", offhost_record.__file__]  # without site-packages
    done = subprocess.run([*bare, "--demo", tmp_path / "trace.jsonl"], capture_output=True, text=True)
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.count("\n") == 1 and "pip install torch" in done.stderr
    assert not list(tmp_path.iterdir())
