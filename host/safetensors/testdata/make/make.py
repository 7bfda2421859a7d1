"""Writes files with safetensors for Python and shards as huggingface_hub splits them
for transformers and diffusers, into the current directory. Prints a line for each
tensor: file, name, dtype, shape, SHA-256 of its bytes."""

import hashlib
import json
import os

import numpy as np
from huggingface_hub.serialization._base import split_state_dict_into_shards_factory
from safetensors import TensorSpec, serialize_file
from safetensors.numpy import save_file

NAMES = {"float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64", "uint64": "U64", "int32": "I32",
         "uint32": "U32", "int16": "I16", "uint16": "U16", "int8": "I8", "uint8": "U8", "bool": "BOOL", "complex64": "C64"}
random = np.random.default_rng(4)


def tensor(dtype, *shape):
    n = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    data = random.integers(0, 256, n, dtype=np.uint8)
    if dtype == "bool":
        data &= 1
    return np.frombuffer(data.tobytes(), dtype).reshape(shape)


def golden(path, name, dtype, shape, data):
    print(path, json.dumps(name), dtype, json.dumps(list(shape), separators=(",", ":")), hashlib.sha256(data).hexdigest())


def save(path, tensors, metadata=None):
    save_file(tensors, path, metadata)
    for name, t in tensors.items():
        golden(path, name, NAMES[t.dtype.name], t.shape, t.tobytes())


def save_sharded(folder, pattern, index, tensors, aliases):
    """As huggingface_hub.save_torch_state_dict does, with arrays of numpy."""
    os.makedirs(folder, exist_ok=True)
    split = split_state_dict_into_shards_factory(
        tensors, get_storage_size=lambda t: t.nbytes, filename_pattern=pattern, max_shard_size=1500)
    for name, members in split.filename_to_tensors.items():
        save(f"{folder}/{name}", {m: tensors[m] for m in members}, {"format": "pt", **aliases})
    if split.is_sharded:
        with open(f"{folder}/{index}", "w") as f:
            json.dump({"metadata": {**split.metadata, **aliases}, "weight_map": split.tensor_to_filename}, f, indent=2, sort_keys=True)
            f.write("\n")


save("python.safetensors", {
    **{f"type.{dtype}": tensor(dtype, 3, 5) for dtype in NAMES},
    "scalar": tensor("float32"), "empty": tensor("int32", 2, 0), "name/ünïcode \"quoted\"": tensor("uint8", 7)})
save("metadata.safetensors", {"shared.weight": tensor("float16", 4, 4)},
     {"format": "pt", "head.weight": "shared.weight", "note": "two\nlines"})

raw = {}
for name, dtype, shape, size in [("bf16", "bfloat16", [3, 3], 18), ("e4m3", "float8_e4m3fn", [5], 5), ("e5m2", "float8_e5m2", [5], 5),
                                 ("e8m0", "float8_e8m0fnu", [4], 4), ("fp4", "float4_e2m1fn_x2", [3, 2], 6)]:
    raw[name] = (dtype, shape, np.frombuffer(random.bytes(size), np.uint8))
specs = {name: TensorSpec(dtype=d, shape=s, data_ptr=b.ctypes.data, data_len=b.nbytes) for name, (d, s, b) in raw.items()}
serialize_file(specs, "lowprecision.safetensors", None)
for name, spec in specs.items():
    golden("lowprecision.safetensors", name, spec.dtype, spec.shape, raw[name][2].tobytes())

layers = {"embed.weight": tensor("float16", 16, 32)}
for i in range(3):
    layers[f"layers.{i}.up.weight"] = tensor("float16", 16, 16)
    layers[f"layers.{i}.norm.weight"] = tensor("float32", 16)
save_sharded("transformers", "model{suffix}.safetensors", "model.safetensors.index.json", layers, {"lm_head.weight": "embed.weight"})

blocks = {f"blocks.{i}.attn.weight": tensor("float16", 16, 16) for i in range(4)}
save_sharded("diffusers", "diffusion_pytorch_model.fp16{suffix}.safetensors",
             "diffusion_pytorch_model.safetensors.index.fp16.json", blocks, {})
save_sharded("single", "diffusion_pytorch_model{suffix}.safetensors", "", {"conv.weight": tensor("float32", 2, 2, 3, 3)}, {})
save_sharded("single", "diffusion_pytorch_model.fp16{suffix}.safetensors", "", {"conv.weight": tensor("float16", 2, 2, 3, 3)}, {})
