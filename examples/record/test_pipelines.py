"""Traces of real pipelines, recorded and then replayed by offhost."""

from __future__ import annotations

import json

import pytest
import torch
from diffusers import FluxImg2ImgPipeline
from torch import nn

import offhost_record
import tiny_pipelines
from offhost_record import RecordError, record

STEPS = 4


def flux(pipe, seed=0):
    return pipe(
        "a lighthouse at dusk", num_inference_steps=STEPS, height=32, width=32, max_sequence_length=32, **common(seed)
    ).images


def sdxl(pipe, seed=0):
    return pipe(
        "a harbour", negative_prompt="blurry", num_inference_steps=STEPS, height=32, width=32, **common(seed)
    ).images


def sdxl_controlnet(pipe, seed=0):
    edges = torch.linspace(0, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)
    return pipe("a harbour", negative_prompt="blurry", image=edges, num_inference_steps=STEPS, **common(seed)).images


def wan(pipe, seed=0):
    return pipe(
        "a lighthouse",
        negative_prompt="blurry",
        num_inference_steps=STEPS,
        height=16,
        width=16,
        num_frames=5,
        max_sequence_length=16,
        **common(seed),
    ).frames


def common(seed):
    return {"generator": torch.Generator().manual_seed(seed), "output_type": "np"}


ENCODE = ["text_encoder", "text_encoder_2"]

# What each pipeline calls in one generation, and the blocks that its denoiser has.
CASES = {
    "flux": (flux, [*ENCODE, *["transformer"] * STEPS, "vae"]),
    # Guidance: both prompts are encoded in turn; the UNet takes them as one batch.
    "sdxl": (sdxl, [*ENCODE, *ENCODE, *["unet"] * STEPS, "vae"]),
    "sdxl_controlnet": (sdxl_controlnet, [*ENCODE, *ENCODE, *["controlnet", "unet"] * STEPS, "vae"]),
    # Guidance as two calls a step; of four steps two are the high-noise expert's.
    "wan": (wan, ["text_encoder"] * 2 + ["transformer"] * 4 + ["transformer_2"] * 4 + ["vae"]),
}
BLOCKS = {
    "flux": ["transformer", "text_encoder_2"],
    "sdxl": ["unet.down_blocks", "unet.mid_block", "unet.up_blocks"],
    "sdxl_controlnet": ["unet", "controlnet"],
    "wan": ["transformer.blocks", "transformer_2.blocks"],
}


def modules(pipe) -> dict[str, nn.Module]:
    return {name: m for name, m in pipe.components.items() if isinstance(m, nn.Module)}


def sizes(pipe) -> dict[str, int]:
    return {
        name: sum(t.numel() * t.element_size() for t in [*module.parameters(), *module.buffers()])
        for name, module in modules(pipe).items()
    }


def untouched(pipe) -> bool:
    """Whether neither the pipeline nor a module in it has anything of the recorder's."""
    return type(pipe).__call__.__module__ != offhost_record.__name__ and not any(
        hasattr(value, "_offhost_recorder")
        for m in modules(pipe).values()
        for inner in m.modules()
        for value in vars(inner).values()
    )


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("blocks", [None, "auto", "named"])
def test_a_pipeline_recorded_and_replayed(case, blocks, trace, offhost):
    generate, calls = CASES[case]
    pipe = getattr(tiny_pipelines, case)()
    unrecorded = generate(pipe)
    with record(pipe, trace.path, blocks=BLOCKS[case] if blocks == "named" else blocks):
        first, second = generate(pipe), generate(pipe, seed=1)
    assert untouched(pipe)
    assert (first == unrecorded).all(), "recording changed what the pipeline computes"
    assert (second != unrecorded).any()

    got = trace()
    assert got.sizes() == sizes(pipe)
    assert [got.called(0), got.called(1)] == [calls, calls]
    whole = [c["name"] for c in got.all("component") if "parent" not in c]
    seq = [name for name in pipe.model_cpu_offload_seq.split("->") if name in whole]
    assert got.all("pipeline") == [
        {"kind": "pipeline", "name": type(pipe).__name__, "components": whole, "offload_seq": seq}
    ]
    assert whole[: len(seq)] == seq, "components are listed in their order of use"
    assert all(c["read_only"] for c in got.components.values())
    assert all(r["compute_ns"] > 0 for r in got.lines if r["kind"] == "call")
    assert min(got.workspace(name) for name in calls) > 0
    divided = {c["parent"] for c in got.all("component") if "parent" in c}
    if blocks == "named":
        assert divided == {path.partition(".")[0] for path in BLOCKS[case]}
        for name in divided:
            forward = [r["component"] for r in got.requests()[0] if r["component"].startswith(name + ".")]
            inside = [c["name"] for c in got.all("component") if c.get("parent") == name]
            # Each forward calls every block once, in one order. A UNet declares its middle last.
            assert sorted(forward) == sorted(inside * calls.count(name))
            assert forward == forward[: len(inside)] * calls.count(name)
    else:
        assert bool(divided) == (blocks == "auto")

    offhost("trace", "check", trace.path)
    total = sum(got.sizes().values())
    run = ("run", trace.path, "--budget", f"{4 * total + (64 << 20)}B", "--link", "25GB/s")
    report = json.loads(offhost(*run, "--format", "json").stdout)
    assert report["requests"] == 2
    assert report["calls"] == sum(r["kind"] != "exit" for request in got.requests() for r in request)
    used = sum(
        got.components[name]["bytes"] for name in {r["component"] for request in got.requests() for r in request}
    )
    assert report["h2d_bytes"] == used, "everything fits: what is called is loaded once"
    assert "2 requests" in offhost(*run, "--device", "sim").stdout


def test_an_image_is_encoded_and_decoded_by_the_vae(trace, offhost):
    pipe = tiny_pipelines.quiet(FluxImg2ImgPipeline(**tiny_pipelines.flux().components))
    image = torch.linspace(0, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)
    with record(pipe, trace.path):
        pipe(
            "a harbour",
            image=image,
            strength=0.5,
            num_inference_steps=4,
            height=32,
            width=32,
            max_sequence_length=32,
            **common(0),
        )
    assert trace().called() == [*ENCODE, "vae", "transformer", "transformer", "vae"]
    offhost("trace", "check", trace.path)


def test_prompts_encoded_apart_belong_to_the_request_that_holds_both(trace):
    pipe = tiny_pipelines.flux()
    with record(pipe, trace.path) as recorder, recorder.request():
        embeds, pooled, _ = pipe.encode_prompt("a harbour", "a harbour", max_sequence_length=32)
        pipe(prompt_embeds=embeds, pooled_prompt_embeds=pooled, num_inference_steps=1, height=32, width=32, **common(0))
    assert trace().called() == [*ENCODE, "transformer", "vae"]


def test_a_preview_in_every_step(trace):
    pipe = tiny_pipelines.flux()

    def preview(pipe, step, timestep, kwargs):
        latents = pipe._unpack_latents(kwargs["latents"], 32, 32, pipe.vae_scale_factor)
        pipe.vae.decode(latents, return_dict=False)
        return kwargs

    with record(pipe, trace.path):
        pipe(
            "a harbour",
            num_inference_steps=2,
            height=32,
            width=32,
            max_sequence_length=32,
            callback_on_step_end=preview,
            **common(0),
        )
    assert trace().called() == [*ENCODE, "transformer", "vae", "transformer", "vae", "vae"]


def test_a_pipeline_that_fails_in_the_middle_leaves_no_half_request(trace):
    pipe = tiny_pipelines.flux()

    def fail(pipe, step, timestep, kwargs):
        raise MemoryError

    with record(pipe, trace.path):
        flux(pipe)
        with pytest.warns(offhost_record.RecordWarning, match="it ended with MemoryError"), pytest.raises(MemoryError):
            pipe(
                "a harbour",
                num_inference_steps=2,
                height=32,
                width=32,
                max_sequence_length=32,
                callback_on_step_end=fail,
            )
    assert len(trace().requests()) == 1


# Offloading by others.


@pytest.mark.parametrize("first", ["offload", "record"])
def test_under_model_offload_the_hooks_of_both_stay_in_place(first, trace):
    pipe = tiny_pipelines.sdxl()
    unrecorded = sdxl(pipe)
    if first == "offload":
        pipe.enable_model_cpu_offload(device="cpu")
    with record(pipe, trace.path):
        if first == "record":
            pipe.enable_model_cpu_offload(device="cpu")
        for _ in range(2):  # each call ends with all hooks taken off and put on again
            assert (sdxl(pipe) == unrecorded).all()
    assert trace().called(1) == CASES["sdxl"][1]
    assert trace().sizes() == sizes(pipe)
    assert untouched(pipe) or all("_old_forward" in vars(m) for m in modules(pipe).values())
    assert (sdxl(pipe) == unrecorded).all()
    pipe.remove_all_hooks()
    assert (sdxl(pipe) == unrecorded).all()


def test_model_offload_moves_weights_before_the_clock_runs(trace, monkeypatch):
    clock = 0

    def tick(self, module, *args, **kwargs):
        nonlocal clock
        clock += 10**9
        return args, kwargs

    from accelerate.hooks import CpuOffload

    monkeypatch.setattr(CpuOffload, "pre_forward", tick)
    monkeypatch.setattr(offhost_record.time, "perf_counter_ns", lambda: clock)
    pipe = tiny_pipelines.flux()
    pipe.enable_model_cpu_offload(device="cpu")
    with record(pipe, trace.path):
        flux(pipe)
    assert clock > 7 * 10**9
    # decode is told twice to move the VAE: once by the recorder, then by itself, with nothing left to move.
    assert [r["compute_ns"] for r in trace().requests()[0]] == [0] * 6 + [10**9]


def test_offloading_that_moves_weights_inside_calls_is_refused(tmp_path):
    pipe = tiny_pipelines.flux()
    pipe.enable_sequential_cpu_offload(device="cpu")
    with pytest.raises(RecordError, match="meta device, as under enable_sequential_cpu_offload"):
        record(pipe, tmp_path / "t.jsonl")
    pipe = tiny_pipelines.flux()
    pipe.transformer.enable_group_offload(torch.device("cpu"), offload_type="block_level", num_blocks_per_group=1)
    with pytest.raises(RecordError, match="transformer is under group offloading"):
        record(pipe, tmp_path / "t.jsonl")


# A language model: a mapping with one module.


@pytest.mark.parametrize("blocks", [None, ["llm.model.layers"]])
def test_a_language_model_calls_its_layers_for_each_token(blocks, trace, offhost):
    model = tiny_pipelines.llama()
    prompt = torch.tensor([[1, 5, 9, 13, 17, 21]])
    unrecorded = model.generate(prompt, max_new_tokens=4, do_sample=False)
    with record({"llm": model}, trace.path, blocks=blocks) as recorder:
        for _ in range(2):
            with recorder.request(steps=4):
                tokens = model.generate(prompt, max_new_tokens=4, do_sample=False)
    assert (tokens == unrecorded).all()
    inside = " ".join(f"llm.model.layers.{i}" for i in range(4))
    assert trace().shape(1) == " ".join([f"llm({inside})" if blocks else "llm"] * 4)
    tied = {p.data_ptr(): p.numel() * 4 for p in model.parameters()}  # the head is the embedding
    buffers = sum(b.numel() * b.element_size() for b in model.buffers())
    assert trace().sizes() == {"llm": sum(tied.values()) + buffers}
    first = "llm.model.layers.0" if blocks else "llm"
    assert trace().workspace(first, 0) > trace().workspace(first, 1), "six tokens take more than one"
    offhost("trace", "check", trace.path)
    report = json.loads(offhost("run", trace.path, "--budget", "64MiB", "--link", "1GB/s", "--format", "json").stdout)
    assert report["calls"] == 2 * 4 * (5 if blocks else 1)
