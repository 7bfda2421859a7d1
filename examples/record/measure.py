"""How exact the recorder's workspace is on a CPU, and what measuring it costs.

Three models with random weights, large enough for real kernels: what the recorder counts,
the peak of torch's own allocator in the same call, and the time of the call with and
without counting, in turns. The README has its figures.
"""

from __future__ import annotations

import json
import os
import tempfile

import offhost_record
import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel, UNet2DConditionModel
from torch.profiler import ProfilerActivity, profile


def models():
    """Name, model, and a function that calls it, for each."""
    unet = UNet2DConditionModel(
        block_out_channels=(128, 256, 512),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(4, 8, 8),
        transformer_layers_per_block=(1, 1, 2),
        cross_attention_dim=256,
    )
    image = torch.randn(2, 4, 64, 64), torch.tensor(10.0), torch.randn(2, 77, 256)
    yield "unet", unet, lambda: unet(*image)

    transformer = FluxTransformer2DModel(
        num_layers=4,
        num_single_layers=8,
        attention_head_dim=64,
        num_attention_heads=8,
        joint_attention_dim=512,
        pooled_projection_dim=256,
        axes_dims_rope=(16, 24, 24),
    )
    tokens = {
        "hidden_states": torch.randn(1, 1024, 64),
        "encoder_hidden_states": torch.randn(1, 256, 512),
        "pooled_projections": torch.randn(1, 256),
        "timestep": torch.tensor([0.5]),
        "img_ids": torch.zeros(1024, 3),
        "txt_ids": torch.zeros(256, 3),
    }
    yield "transformer", transformer, lambda: transformer(**tokens)

    vae = AutoencoderKL(
        block_out_channels=(64, 128, 256, 256),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
    )
    latent = torch.randn(1, 4, 64, 64)
    yield "vae", vae, lambda: vae.decode(latent)


def allocator_peak(call) -> int:
    """The most that the allocator gave out above where it was, by the profiler's events."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    live = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return peak


def recorded(name, model, call, workspace: bool) -> tuple[int, int]:
    """Bytes and nanoseconds that a trace of one call has."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "trace.jsonl")
        with offhost_record.record({name: model}, path, workspace=workspace) as recorder, recorder.request():
            call()
        with open(path, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
    component = next(line for line in lines if line["kind"] == "component")
    return component.get("workspace_bytes", 0), next(line for line in lines if line["kind"] == "call")["compute_ns"]


@torch.no_grad()
def main() -> None:
    torch.manual_seed(0)
    print(f"{'':12}{'weights':>12}{'recorded':>12}{'allocator':>12}{'time':>12}")
    for name, model, call in models():
        model.eval()
        call()
        counted, plain = [], []
        for _ in range(5):
            workspace, ns = recorded(name, model, call, workspace=True)
            counted.append(ns)
            plain.append(recorded(name, model, call, workspace=False)[1])
        weights = sum(p.numel() * p.element_size() for p in model.parameters())
        sizes = "".join(f"{size / 1e6:9.1f} MB" for size in (weights, workspace, allocator_peak(call)))
        print(f"{name:12}{sizes}{min(counted) / min(plain):11.2f}x")


if __name__ == "__main__":
    main()
