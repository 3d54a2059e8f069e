"""Writes peft_merges.json: what PEFT's own add_weighted_adapter makes. Needs torch and peft (0.21.0 was used); run it here.

dare_* is asked for at density 1 only: its masks come from torch's generator.
"""

import json
import warnings

import numpy as np
import peft
import torch

warnings.filterwarnings("ignore")
SHAPES = {"q": (12, 10), "v": (5, 7)}


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        for name, (out, inn) in SHAPES.items():
            setattr(self, name, torch.nn.Linear(inn, out, bias=False))


def exact(t):
    return [float(f"{x:.9g}") for x in t.detach().double().ravel().tolist()]


def run(ranks, alphas, rslora, requests):
    torch.manual_seed(1)
    rng = np.random.default_rng(7)
    model = None
    for i, (r, alpha) in enumerate(zip(ranks, alphas)):
        config = peft.LoraConfig(r=r, lora_alpha=alpha, target_modules=["q", "v"], use_rslora=rslora)
        if model is None:
            model = peft.get_peft_model(Model(), config, adapter_name="a0")
        else:
            model.add_adapter(f"a{i}", config)
        for name, (out, inn) in SHAPES.items():
            layer = getattr(model.base_model.model, name)
            layer.lora_A[f"a{i}"].weight.data = torch.tensor(rng.normal(size=(r, inn)), dtype=torch.float32)
            layer.lora_B[f"a{i}"].weight.data = torch.tensor(rng.normal(size=(out, r)), dtype=torch.float32)
    layers = {name: getattr(model.base_model.model, name) for name in SHAPES}
    inputs = [
        {
            name: dict(
                rank=r,
                inFeatures=SHAPES[name][1],
                outFeatures=SHAPES[name][0],
                scaling=layer.scaling[f"a{i}"],
                loraA=exact(layer.lora_A[f"a{i}"].weight),
                loraB=exact(layer.lora_B[f"a{i}"].weight),
            )
            for name, layer in layers.items()
        }
        for i, r in enumerate(ranks)
    ]
    cases = []
    for n, (kind, weights, options) in enumerate(requests):
        names = {"svdRank": "svd_rank", "majoritySign": "majority_sign_method"}
        arguments = {names.get(k, k): v for k, v in options.items()}
        model.add_weighted_adapter(
            [f"a{i}" for i in range(len(weights))], weights, f"m{n}", combination_type=kind, **arguments
        )
        cases.append(
            dict(
                options=dict(combinationType=kind, weights=weights, useRslora=rslora, **options),
                scaling=layers["q"].scaling[f"m{n}"],
                expected={name: exact(layer.get_delta_weight(f"m{n}")) for name, layer in layers.items()},
            )
        )
    return dict(adapters=inputs, cases=cases)


W = [0.7, -0.4, 1.1]
same = [
    ("linear", W, {}),
    ("linear", [0.5], {}),
    ("cat", W, {}),
    ("svd", W, {}),
    ("svd", W, {"svdRank": 4}),
    ("ties", W, {"density": 0.4}),
    ("ties", W, {"density": 0.7, "majoritySign": "frequency"}),
    ("ties_svd", W, {"density": 0.4}),
    ("ties_svd", W, {"density": 0.6, "majoritySign": "frequency", "svdRank": 5}),
    ("dare_linear", W, {"density": 1.0}),
    ("dare_ties", W, {"density": 1.0}),
    ("dare_linear_svd", W, {"density": 1.0}),
    ("dare_ties_svd", W, {"density": 1.0, "majoritySign": "frequency"}),
    ("magnitude_prune", W, {"density": 0.5}),
    ("magnitude_prune_svd", W, {"density": 0.5}),
]
mixed = [("cat", W, {}), ("svd", W, {}), ("ties_svd", W, {"density": 0.5})]
json.dump(
    dict(
        peft=peft.__version__,
        sets=[
            run([2, 2, 2], [4, 1, 3], False, same),
            run([2, 3, 1], [4, 1, 3], False, mixed),
            run([2, 2, 2], [4, 1, 3], True, same[:4]),
        ],
    ),
    open("peft_merges.json", "w"),
)
print("peft", peft.__version__)
