"""Trains an adapter of qwen2 with PEFT itself, and writes qwen2/peft: the folder as PEFT saves it, and what comes of it.

    python test/golden/llm/make_peft.py      (torch, transformers and peft as in test/interchange/requirements.txt)
"""

import json
import pathlib

import peft
import torch
import transformers

HERE = pathlib.Path(__file__).parent / "qwen2"
GOLDEN = json.loads((HERE / "expected.json").read_text())
STEPS = 20
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def base():
    return transformers.AutoModelForCausalLM.from_pretrained(HERE, dtype=torch.float64, attn_implementation="eager").eval()


def log_probabilities(model, sequence):
    ids, labels = torch.tensor(sequence["ids"]), torch.tensor(sequence["labels"])
    logs = torch.log_softmax(model(ids[None]).logits[0, :-1], -1).gather(1, ids[1:, None])[:, 0]
    return logs[labels[1:] != -100]


def greedy(model, prompt, count):
    ids = list(prompt)
    for _ in range(count):
        ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt):]


torch.manual_seed(0)
settings = peft.LoraConfig(task_type="CAUSAL_LM", r=3, lora_alpha=4, use_rslora=True, target_modules=PROJECTIONS)
model = peft.get_peft_model(base(), settings)
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
losses = []
for _ in range(STEPS):
    loss = sum(-log_probabilities(model, each).mean() for each in GOLDEN["sequences"]) / len(GOLDEN["sequences"])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
model.peft_config["default"].base_model_name_or_path = "qwen2"
model.float().save_pretrained(HERE / "peft")
(HERE / "peft" / "README.md").unlink(missing_ok=True)

with torch.no_grad():
    trained = peft.PeftModel.from_pretrained(base(), HERE / "peft").double()
    prompt = GOLDEN["greedy"][0]["prompt"]
    expected = {
        "made_by": f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}",
        "losses": [losses[0], losses[-1]],
        "target_log_probs": [log_probabilities(trained, each).tolist() for each in GOLDEN["sequences"]],
        "greedy": {"prompt": prompt, "ids": greedy(trained, prompt, 12)},
    }
(HERE / "peft" / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
print(losses[0], losses[-1], expected["greedy"]["ids"])
