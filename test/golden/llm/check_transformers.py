"""Loads every folder beside it with transformers and PEFT and compares with what make_llm.py expects.

Needs torch, transformers, peft and safetensors (passed with torch 2.13, transformers 5.18, peft 0.21):
    python test/golden/llm/check_transformers.py
Logits, losses, gradients and steps agree within 1e-5 of the largest number of each tensor: transformers computes norms,
angles and the softmax of attention in float32, whatever the type of the weights. Exit status 1 if anything differs.
"""

import json
import pathlib
import sys

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

HERE = pathlib.Path(__file__).parent
TOLERANCE = 1e-5
checked, failed = 0, []


def compare(name, got, want):
    global checked
    checked += 1
    error = (got.detach().double() - want).abs().max() / want.abs().max()
    if not error <= TOLERANCE:
        failed.append(f"{name}: relative error {error:.2e}")


def loss_of(model, sequence):
    return model(input_ids=torch.tensor([sequence["ids"]]), labels=torch.tensor([sequence["labels"]])).loss


def check(folder):
    expected = json.loads((folder / "expected.json").read_text())
    tensors = load_file(folder / "expected.safetensors")
    sequences = expected["sequences"]
    options = {"dtype": torch.float64, "attn_implementation": "eager"}
    base = AutoModelForCausalLM.from_pretrained(folder, **options)
    logits = lambda model, s: model(input_ids=torch.tensor([s["ids"]])).logits[0]
    compare(f"{folder.name} base_logits.0", logits(base, sequences[0]), tensors["base_logits.0"])
    model = PeftModel.from_pretrained(base, folder / "adapter", is_trainable=True, autocast_adapter_dtype=False).double()
    parameters = {
        name.removeprefix("base_model.model.").removesuffix(".default.weight"): parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    assert set(parameters) == {key.removeprefix("grad.") for key in tensors if key.startswith("grad.")}
    for i, s in enumerate(sequences):
        compare(f"{folder.name} logits.{i}", logits(model, s), tensors[f"logits.{i}"])
        compare(f"{folder.name} loss {i}", loss_of(model, s), torch.tensor(s["loss"], dtype=torch.float64))
    optimizer = torch.optim.AdamW(
        parameters.values(), lr=expected["learning_rate"], weight_decay=expected["weight_decay"]
    )
    weights = sum(s["weight"] for s in sequences)
    for step, want in enumerate(expected["losses"], 1):
        loss = sum(s["weight"] * loss_of(model, s) for s in sequences) / weights
        compare(f"{folder.name} loss of step {step}", loss, torch.tensor(want, dtype=torch.float64))
        optimizer.zero_grad()
        loss.backward()
        norm = torch.stack([p.grad.norm() for p in parameters.values()]).norm()
        compare(f"{folder.name} norm of step {step}", norm, torch.tensor(expected["grad_norms"][step - 1]))
        if step == 1:
            for name, parameter in parameters.items():
                compare(f"{folder.name} grad.{name}", parameter.grad, tensors[f"grad.{name}"])
        optimizer.step()
        for name, parameter in parameters.items():
            if f"step{step}.{name}" in tensors:
                compare(f"{folder.name} step{step}.{name}", parameter, tensors[f"step{step}.{name}"])


folders = sorted(file.parent for file in HERE.glob("*/expected.json"))
for each in folders:
    check(each)
print(f"{len(folders)} models, {checked} comparisons, {len(failed)} failed", *failed, sep="\n")
sys.exit(1 if failed or not folders else 0)
