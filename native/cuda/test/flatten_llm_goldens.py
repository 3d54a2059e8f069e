"""The goldens of test/golden/llm as one text file that decoder_goldens.cc reads: `name count`, then the numbers.

    python3 flatten_llm_goldens.py test/golden/llm OUT

Plain Python, because it also runs on GPU machines that have nothing else. Parameters are those of an adapter with every
module of every layer as a target, in this order: loraA, then loraB.
"""
import json
import pathlib
import struct
import sys

MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
FIRST_BIAS = 7
NORMS = {"input_layernorm": 14, "post_attention_layernorm": 15, "self_attn.q_norm": 16, "self_attn.k_norm": 17}
MODEL_TENSORS = {"model.embed_tokens.weight": 0, "model.norm.weight": 1, "lm_head.weight": 2}
NO_LAYER = 0xFFFFFFFF
FORMATS = {"F64": ("d", 8), "F32": ("f", 4), "F16": ("e", 2)}


def read_safetensors(path):
    data = path.read_bytes()
    size = struct.unpack_from("<Q", data)[0]
    tensors = {}
    for name, entry in json.loads(data[8 : 8 + size]).items():
        if name == "__metadata__":
            continue
        start, end = (8 + size + offset for offset in entry["data_offsets"])
        raw = data[start:end]
        if entry["dtype"] == "BF16":
            halves = struct.unpack(f"<{len(raw) // 2}H", raw)
            raw = struct.pack(f"<{len(halves)}I", *(half << 16 for half in halves))
            entry["dtype"] = "F32"
        code, width = FORMATS[entry["dtype"]]
        tensors[name] = struct.unpack(f"<{len(raw) // width}{code}", raw)
    return tensors


def path_of(module):
    return ("self_attn." if module in MODULES[:4] else "mlp.") + module


def place_of(name):
    """Layer and tensor, as decoder.h numbers them."""
    if name in MODEL_TENSORS:
        return NO_LAYER, MODEL_TENSORS[name]
    _, _, layer, rest = name.split(".", 3)
    path, kind = rest.rsplit(".", 1)
    if path in NORMS:
        return int(layer), NORMS[path]
    return int(layer), MODULES.index(path.split(".")[1]) + (FIRST_BIAS if kind == "bias" else 0)


def flatten(folder, write):
    config = json.loads((folder / "config.json").read_text())
    expected = json.loads((folder / "expected.json").read_text())
    tensors = {}
    for path in sorted(folder.glob("model*.safetensors")):
        tensors.update(read_safetensors(path))
    adapter = read_safetensors(folder / "adapter" / "adapter_model.safetensors")
    numbers = read_safetensors(folder / "expected.safetensors")
    layers, heads = config["num_hidden_layers"], config["num_attention_heads"]
    biases = sum(
        1 << i for i, module in enumerate(MODULES) if f"model.layers.0.{path_of(module)}.bias" in tensors
    )
    frequencies = expected["inverse_frequencies"]
    write("config", [
        config["vocab_size"], config["hidden_size"], config["intermediate_size"], layers, heads,
        config.get("num_key_value_heads", heads), 2 * len(frequencies), biases,
        int("model.layers.0.self_attn.q_norm.weight" in tensors), int("lm_head.weight" not in tensors),
        config["rms_norm_eps"],
    ])
    write("frequencies", frequencies)
    for name, values in tensors.items():
        layer, tensor = place_of(name)
        write(f"weight/{layer}/{tensor}", values)

    paths = [f"model.layers.{layer}.{path_of(module)}" for layer in range(layers) for module in MODULES]
    write("adapter", [expected["rank"], expected["scaling"]])
    write("parameters", [
        x for path in paths for matrix in "AB" for x in adapter[f"base_model.model.{path}.lora_{matrix}.weight"]
    ])
    for prefix in ["first_grad", "grad", "fisher", "step1", "step3"]:
        write(prefix, [x for path in paths for matrix in "AB" for x in numbers[f"{prefix}.{path}.lora_{matrix}"]])

    sequences = expected["sequences"]
    weights = sum(sequence["weight"] for sequence in sequences)
    for i, sequence in enumerate(sequences):
        positions = [t for t, label in enumerate(sequence["labels"]) if label != -100]
        share = sequence["weight"] / weights / len(positions)
        write(f"ids.{i}", sequence["ids"])
        write(f"positions.{i}", positions)
        write(f"coefficients.{i}", [share] * len(positions))
        write(f"log_probs.{i}", sequence["target_log_probs"])
        write(f"logits.{i}", numbers[f"logits.{i}"])
    write("base_logits", numbers["base_logits.0"])
    write("step", [expected["learning_rate"], *expected["betas"], expected["eps"], expected["weight_decay"]])
    write("losses", expected["losses"])
    write("norms", expected["grad_norms"])


def main():
    source, target = (pathlib.Path(argument) for argument in sys.argv[1:3])
    folders = sorted(path.parent for path in source.glob("*/expected.json"))
    with open(target, "w") as out:
        for folder in folders:
            def write(name, values):
                out.write(f"{folder.name}/{name} {len(values)}\n{' '.join(repr(value) for value in values)}\n")
            flatten(folder, write)
    print(f"{len(folders)} models")


main()
