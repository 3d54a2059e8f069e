"""Writes the folders beside it: tiny random models, an adapter for each, and what PyTorch makes of them in float64.

Needs torch, safetensors and numpy (made with torch 2.13). Run from any folder:
    python test/golden/llm/make_llm.py
Gradients come from autograd, steps from torch.optim.AdamW. README.md says what the files hold.
"""

import json
import math
import pathlib

import torch
from reference import PROJECTIONS, Decoder, inverse_frequencies
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
LEARNING_RATE, WEIGHT_DECAY, STEPS = 3e-4, 0.01, 3
BOS, EOS = 65, 66

COMMON = {
    "vocab_size": 67,
    "hidden_size": 40,
    "intermediate_size": 52,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 10,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
}

# by folder: the file's element type, what its config has beside COMMON, and whether the adapter is rsLoRA
MODELS = {
    "llama": (
        torch.float32,
        {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "rope_theta": 10000.0, "rope_scaling": None}
        | {"attention_bias": False, "mlp_bias": False, "torch_dtype": "float32"},
        False,
    ),
    "llama-bias": (  # a key and value head for every head, head_dim left to hidden_size / num_attention_heads
        torch.float16,
        {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "head_dim": 8, "num_attention_heads": 5}
        | {"num_key_value_heads": 5, "rope_theta": 1000.0, "rope_scaling": {"type": "linear", "factor": 2.0}}
        | {"attention_bias": True, "mlp_bias": True, "torch_dtype": "float16"},
        False,
    ),
    "llama3-rope": (  # wave lengths on both sides of and between the two limits
        torch.bfloat16,
        {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "head_dim": 16, "tie_word_embeddings": True}
        | {"attention_bias": False, "mlp_bias": False, "max_position_embeddings": 256, "dtype": "bfloat16"}
        | {"rope_parameters": {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0}
           | {"high_freq_factor": 4.0, "original_max_position_embeddings": 128}},
        False,
    ),
    "qwen2": (
        torch.bfloat16,
        {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "tie_word_embeddings": True}
        | {"rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "use_sliding_window": False, "sliding_window": 32}
        | {"max_window_layers": 2, "torch_dtype": "bfloat16"},
        True,
    ),
    "qwen3": (
        torch.float32,
        {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "head_dim": 12, "attention_bias": False}
        | {"rms_norm_eps": 1e-6, "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0}}
        | {"use_sliding_window": False, "sliding_window": None, "dtype": "float32"},
        False,
    ),
    "mistral": (
        torch.bfloat16,
        {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "num_key_value_heads": 1}
        | {"rope_theta": 10000.0, "sliding_window": None, "torch_dtype": "bfloat16"},
        False,
    ),
}


class Numbers:
    """Random numbers of one stream, rounded to what the file's type can hold."""

    def __init__(self, seed, dtype):
        self.generator, self.dtype = torch.Generator().manual_seed(seed), dtype

    def normal(self, *shape, std, mean=0.0):
        values = torch.randn(*shape, generator=self.generator, dtype=torch.float64) * std + mean
        return values.to(self.dtype)

    def ids(self, count):
        return torch.randint(0, BOS, (count,), generator=self.generator).tolist()


def features_of(config, projection):
    """(out, in) of a projection."""
    hidden, inner, size = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    q, k = config["num_attention_heads"] * size, config["num_key_value_heads"] * size
    return {
        "q_proj": (q, hidden),
        "k_proj": (k, hidden),
        "v_proj": (k, hidden),
        "o_proj": (hidden, q),
        "gate_proj": (inner, hidden),
        "up_proj": (inner, hidden),
        "down_proj": (hidden, inner),
    }[projection]


def has_bias(config, projection):
    if config["model_type"] == "qwen2":
        return projection in ("q_proj", "k_proj", "v_proj")
    return config.get("attention_bias" if PROJECTIONS[projection] == "self_attn" else "mlp_bias", False)


def random_weights(config, numbers):
    hidden, size = config["hidden_size"], config["head_dim"]
    weights = {
        "model.embed_tokens.weight": numbers.normal(config["vocab_size"], hidden, std=0.5),
        "model.norm.weight": numbers.normal(hidden, std=0.1, mean=1.0),
    }
    if not config["tie_word_embeddings"]:
        weights["lm_head.weight"] = numbers.normal(config["vocab_size"], hidden, std=0.25)
    for layer in range(config["num_hidden_layers"]):
        path = f"model.layers.{layer}"
        for projection, block in PROJECTIONS.items():
            out_features, in_features = features_of(config, projection)
            name = f"{path}.{block}.{projection}"
            weights[f"{name}.weight"] = numbers.normal(out_features, in_features, std=0.12)
            if has_bias(config, projection):
                weights[f"{name}.bias"] = numbers.normal(out_features, std=0.12)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            weights[f"{path}.{norm}.weight"] = numbers.normal(hidden, std=0.1, mean=1.0)
        if config["model_type"] == "qwen3":
            for norm in ("q_norm", "k_norm"):
                weights[f"{path}.self_attn.{norm}.weight"] = numbers.normal(size, std=0.1, mean=1.0)
    return weights


def random_adapter(config, numbers, rank):
    """{module: (A, B)} for all seven projections; B is not zero, so that every gradient is something."""
    adapter = {}
    for layer in range(config["num_hidden_layers"]):
        for projection, block in PROJECTIONS.items():
            out_features, in_features = features_of(config, projection)
            a, b = numbers.normal(rank, in_features, std=0.15), numbers.normal(out_features, rank, std=0.15)
            adapter[f"model.layers.{layer}.{block}.{projection}"] = (a, b)
    return adapter


def write_adapter(folder, adapter, rank, alpha, rs_lora):
    folder.mkdir(exist_ok=True)
    tensors = {}
    for name, (a, b) in adapter.items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = a
        tensors[f"base_model.model.{name}.lora_B.weight"] = b
    save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": None,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "modules_to_save": None,
        "r": rank,
        "target_modules": sorted(PROJECTIONS),
        "use_dora": False,
        "use_rslora": rs_lora,
    }
    write_json(folder / "adapter_config.json", config)


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n")


def write_model(folder, config, weights, shards):
    """One file, or two with an index as large models have them."""
    implied = ("head_dim",) if folder.name == "llama-bias" else ()
    write_json(folder / "config.json", {key: value for key, value in config.items() if key not in implied})
    if not shards:
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        return
    names = sorted(weights)
    index = {}
    for number, part in enumerate((names[: len(names) // 2], names[len(names) // 2 :]), 1):
        file = f"model-0000{number}-of-00002.safetensors"
        save_file({name: weights[name] for name in part}, folder / file, {"format": "pt"})
        index |= {name: file for name in part}
    size = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": size}, "weight_map": index})


def make_sequences(numbers):
    """Three of different lengths and weights; -100 is the prompt, and in the second one a gap among the targets."""
    sequences = []
    for length, prompt, weight in ((18, 6, 1.0), (11, 3, 2.0), (7, 4, 0.5)):
        ids = [BOS, *numbers.ids(length - 2), EOS]
        sequences.append({"ids": ids, "labels": [-100] * prompt + ids[prompt:], "weight": weight})
    sequences[1]["labels"][6] = -100
    return sequences


def greedy(decoder, prompt, adapter, count):
    ids, gap = list(prompt), math.inf
    for _ in range(count):
        first, second = decoder.logits(ids, adapter)[-1].topk(2).values.tolist()
        gap = min(gap, first - second)
        ids.append(int(decoder.logits(ids, adapter)[-1].argmax()))
    return {"prompt": prompt, "ids": ids[len(prompt) :], "smallest_logit_gap": gap}


def batch_loss(decoder, sequences, adapter):
    """The sum of weight times mean loss per target over the sum of weights."""
    losses = [-decoder.target_log_probs(s["ids"], s["labels"], adapter).mean() for s in sequences]
    return sum(s["weight"] * loss for s, loss in zip(sequences, losses)) / sum(s["weight"] for s in sequences)


def make(folder, seed, dtype, settings, rs_lora):
    folder.mkdir(exist_ok=True)
    config, rank, alpha = COMMON | settings, 3, 6
    numbers = Numbers(seed, dtype)
    stored = random_weights(config, numbers)
    single = Numbers(seed + 1000, torch.float32)
    adapter = random_adapter(config, single, rank)
    write_model(folder, config, stored, shards=folder.name == "mistral")
    write_adapter(folder / "adapter", adapter, rank, alpha, rs_lora)

    sequences = make_sequences(single)
    decoder = Decoder(config, {name: tensor.double() for name, tensor in stored.items()})
    scaling = alpha / math.sqrt(rank) if rs_lora else alpha / rank
    parameters = {name: [t.double().requires_grad_() for t in pair] for name, pair in adapter.items()}
    named = {f"{n}.lora_{'AB'[i]}": t for n, pair in parameters.items() for i, t in enumerate(pair)}
    live = {name: (a, b, scaling) for name, (a, b) in parameters.items()}
    tensors = {}

    with torch.no_grad():
        tensors["base_logits.0"] = decoder.logits(sequences[0]["ids"])
        for i, s in enumerate(sequences):
            tensors[f"logits.{i}"] = decoder.logits(s["ids"], live)
            tensors[f"last_log_probs.{i}"] = tensors[f"logits.{i}"][-1].log_softmax(-1)
            log_probs = decoder.target_log_probs(s["ids"], s["labels"], live)
            base = decoder.target_log_probs(s["ids"], s["labels"])
            s |= {"target_log_probs": log_probs.tolist(), "loss": -log_probs.mean().item(), "base_loss": -base.mean().item()}

    def store(kind, values):
        for name, value in zip(named, values):
            tensors[f"{kind}.{name}"] = value.detach().clone()

    def gradients(loss):
        return torch.autograd.grad(loss, list(named.values()))

    first = sequences[0]
    store("first_grad", gradients(-decoder.target_log_probs(first["ids"], first["labels"], live).mean()))
    sums = [gradients(decoder.target_log_probs(s["ids"], s["labels"], live).sum()) for s in sequences]
    store("fisher", [sum(g.square() for g in each) / len(sequences) for each in zip(*sums)])
    expected = {"rank": rank, "alpha": alpha, "scaling": scaling, "learning_rate": LEARNING_RATE}
    expected |= {"weight_decay": WEIGHT_DECAY, "betas": [0.9, 0.999], "eps": 1e-8, "sequences": sequences}
    expected["inverse_frequencies"] = inverse_frequencies(config).tolist()
    with torch.no_grad():
        expected["greedy"] = [greedy(decoder, first["ids"][:6], used, 12) for used in (None, live)]

    optimizer = torch.optim.AdamW(named.values(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    expected["losses"], expected["grad_norms"] = [], []
    for step in range(1, STEPS + 1):
        loss = batch_loss(decoder, sequences, live)
        optimizer.zero_grad()
        loss.backward()
        expected["losses"].append(loss.item())
        expected["grad_norms"].append(math.sqrt(sum(t.grad.square().sum().item() for t in named.values())))
        if step == 1:
            store("grad", [t.grad for t in named.values()])
        optimizer.step()
        if step in (1, STEPS):
            store(f"step{step}", named.values())

    save_file(tensors, folder / "expected.safetensors")
    write_json(folder / "expected.json", expected)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    gaps = [round(g["smallest_logit_gap"], 4) for g in expected["greedy"]]
    print(f"{folder.name}: losses {expected['losses']}, base {first['base_loss']:.3f}, logit gaps {gaps}, {size} bytes")


for seed, (name, model) in enumerate(MODELS.items()):
    make(HERE / name, seed, *model)
