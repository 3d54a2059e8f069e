"""Writes formats.json: files made by Hugging Face's safetensors and PEFT, and what PEFT computes with them.

Needs torch, safetensors and peft (made with torch 2.13, safetensors 0.8, peft 0.21). Run from any folder:
    python test/adapter/formats/golden/make_formats.py
"""

import base64
import json
import pathlib
import tempfile

import peft
import safetensors.torch
import torch

torch.manual_seed(20240229)


def text(path):
    return base64.b64encode(pathlib.Path(path).read_bytes()).decode()


def every_dtype():
    tensors = {
        "b": torch.randn(3, 4),
        "a": torch.tensor([[1.5, -65504.0], [2.0**-24, 0.1]]).half(),
        "c.\u00e9": torch.tensor([1.0, -2.5, 3e38, 1e-40, 0.1]).bfloat16(),
        "10": torch.tensor([-(2**31), 2**31 - 1, 0, 1], dtype=torch.int32),
        "9": torch.tensor([-(2**63), 2**63 - 1]),
        "flag": torch.tensor([True, False]),
        "bytes": torch.arange(3, dtype=torch.uint8),
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(2.5, dtype=torch.float64),
        "i8": torch.tensor([-128, 127], dtype=torch.int8),
        "i16": torch.tensor([-(2**15), 2**15 - 1], dtype=torch.int16),
        "u16": torch.tensor([0, 2**16 - 1], dtype=torch.uint16),
        "u32": torch.tensor([0, 2**32 - 1], dtype=torch.uint32),
        "u64": torch.tensor([0, 2**64 - 1], dtype=torch.uint64),
    }
    return base64.b64encode(safetensors.torch.save(tensors, {"format": "pt"})).decode(), {
        name: [str(v) if v != v or abs(v) > 2**53 else v for v in tensor.reshape(-1).tolist()]
        for name, tensor in tensors.items()
    }


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj = torch.nn.Linear(6, 8, bias=False)
        self.v_proj = torch.nn.Linear(6, 4, bias=False)


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList([Block(), Block()])


def adapter(dtype, **settings):
    """A folder that PEFT saved, and for each module what PEFT adds to y for x = 1, -1, 2, ... in float64."""
    config = peft.LoraConfig(target_modules=["q_proj", "v_proj"], init_lora_weights=False, **settings)
    model = peft.get_peft_model(Model(), config)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn_like(parameter).to(dtype)
    x = torch.tensor([1.0, -1.0, 2.0, -2.0, 3.0, -3.0], dtype=torch.float64)
    modules = {}
    for name, layer in model.named_modules():
        if isinstance(layer, peft.tuners.lora.LoraLayer):
            a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
            plain = name.removeprefix("base_model.model.")
            modules[plain] = {
                "scaling": layer.scaling["default"],
                "rank": a.shape[0],
                "delta": (layer.scaling["default"] * (b.double() @ (a.double() @ x))).tolist(),
            }
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return {
            "config": text(f"{folder}/adapter_config.json"),
            "weights": text(f"{folder}/adapter_model.safetensors"),
            "modules": modules,
        }


file, values = every_dtype()
golden = {
    "everyDtype": {"file": file, "values": values},
    "adapters": {
        "plain": adapter(torch.float32, r=2, lora_alpha=16),
        "rslora": adapter(torch.float32, r=2, lora_alpha=3, use_rslora=True),
        "patterns": adapter(
            torch.float32,
            r=2,
            lora_alpha=4,
            rank_pattern={r"layers\.[1-9]\d*\.q_proj": 3, "layers.0.v_proj": 1},
            alpha_pattern={"^layers.0.q_proj": 5, "v_proj": 7},
        ),
        "float16": adapter(torch.float16, r=2, lora_alpha=2),
        "bfloat16": adapter(torch.bfloat16, r=2, lora_alpha=2),
        "dora": adapter(torch.float32, r=2, lora_alpha=2, use_dora=True),
        "bias": adapter(torch.float32, r=2, lora_alpha=2, lora_bias=True),
    },
}
path = pathlib.Path(__file__).with_name("formats.json")
path.write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")
