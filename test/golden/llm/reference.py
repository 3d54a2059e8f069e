"""A decoder of the Llama family with LoRA in plain PyTorch, written from the papers and the model cards, not from an engine.

RMSNorm (Zhang and Sennrich 2019), rotary embedding in the half-split form of Hugging Face (Su et al. 2021), grouped-query
attention (Ainslie et al. 2023), SwiGLU (Shazeer 2020), LoRA (Hu et al. 2021), rsLoRA (Kalajdzievski 2023), the frequencies
of Llama 3.1 (its published inference code). Everything is computed in the type of the weights, here float64.
"""

import math

import torch
import torch.nn.functional as F

PROJECTIONS = {
    "q_proj": "self_attn",
    "k_proj": "self_attn",
    "v_proj": "self_attn",
    "o_proj": "self_attn",
    "gate_proj": "mlp",
    "up_proj": "mlp",
    "down_proj": "mlp",
}


def rope_settings(config):
    """(theta, kind, settings) of both spellings: rope_theta and rope_scaling, or rope_parameters."""
    if "rope_parameters" in config:
        settings = config["rope_parameters"]
        return settings["rope_theta"], settings.get("rope_type", "default"), settings
    settings = config.get("rope_scaling") or {}
    return config["rope_theta"], settings.get("rope_type", settings.get("type", "default")), settings


def inverse_frequencies(config):
    """[head_dim / 2] angles per position."""
    theta, kind, settings = rope_settings(config)
    size = config["head_dim"]
    frequencies = [theta ** (-i / size) for i in range(0, size, 2)]
    if kind == "linear":
        frequencies = [f / settings["factor"] for f in frequencies]
    elif kind == "llama3":
        factor, low, high = (settings[key] for key in ("factor", "low_freq_factor", "high_freq_factor"))
        original = settings["original_max_position_embeddings"]

        def scaled(f):
            turns = original * f / (2 * math.pi)
            if turns > high:
                return f
            if turns < low:
                return f / factor
            smooth = (turns - low) / (high - low)
            return (1 - smooth) * f / factor + smooth * f

        frequencies = [scaled(f) for f in frequencies]
    else:
        assert kind == "default", kind
    return torch.tensor(frequencies, dtype=torch.float64)


class Decoder:
    """weights: tensors by their Hugging Face names. adapter: (A, B, scaling) by module path, or None for the base model."""

    def __init__(self, config, weights):
        self.config, self.weights = config, weights

    def linear(self, x, name, adapter):
        y = F.linear(x, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"))
        if adapter and name in adapter:
            a, b, scaling = adapter[name]
            y = y + scaling * (x @ a.T) @ b.T
        return y

    def norm(self, x, name):
        mean_square = x.square().mean(-1, keepdim=True)
        return self.weights[f"{name}.weight"] * x / torch.sqrt(mean_square + self.config["rms_norm_eps"])

    def rotate(self, x):
        """x: [heads, time, head_dim]; the pairs are (i, i + head_dim / 2)."""
        angles = torch.outer(torch.arange(x.shape[1], dtype=torch.float64), inverse_frequencies(self.config))
        cos, sin = angles.cos(), angles.sin()
        first, second = x.chunk(2, -1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)

    def attention(self, x, path, adapter):
        config, time = self.config, x.shape[0]
        heads, shared, size = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
        q, k, v = (
            self.linear(x, f"{path}.{name}", adapter).view(time, count, size).transpose(0, 1)
            for name, count in (("q_proj", heads), ("k_proj", shared), ("v_proj", shared))
        )
        if config["model_type"] == "qwen3":
            q, k = self.norm(q, f"{path}.q_norm"), self.norm(k, f"{path}.k_norm")
        q, k = self.rotate(q), self.rotate(k)
        outputs = []
        for head in range(heads):
            group = head // (heads // shared)
            scores = q[head] @ k[group].T / math.sqrt(size)
            scores = scores.masked_fill(torch.ones(time, time, dtype=torch.bool).triu(1), -math.inf)
            outputs.append(scores.softmax(-1) @ v[group])
        return self.linear(torch.cat(outputs, -1), f"{path}.o_proj", adapter)

    def logits(self, ids, adapter=None):
        """[time, vocabulary] for a list of ids."""
        x = self.weights["model.embed_tokens.weight"][ids]
        for layer in range(self.config["num_hidden_layers"]):
            path = f"model.layers.{layer}"
            x = x + self.attention(self.norm(x, f"{path}.input_layernorm"), f"{path}.self_attn", adapter)
            h = self.norm(x, f"{path}.post_attention_layernorm")
            h = F.silu(self.linear(h, f"{path}.mlp.gate_proj", adapter)) * self.linear(h, f"{path}.mlp.up_proj", adapter)
            x = x + self.linear(h, f"{path}.mlp.down_proj", adapter)
        head = "model.embed_tokens" if self.config["tie_word_embeddings"] else "lm_head"
        return self.linear(self.norm(x, "model.norm"), head, None)

    def target_log_probs(self, ids, labels, adapter=None):
        """log p of every label that is not -100, given the ids in front of it; labels[0] has nothing in front of it."""
        kept = [t for t in range(1, len(ids)) if labels[t] != -100]
        log_probs = self.logits(ids, adapter).log_softmax(-1)
        return log_probs[[t - 1 for t in kept], [labels[t] for t in kept]]
