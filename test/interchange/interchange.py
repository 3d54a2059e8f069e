"""Real transformers and PEFT on the other side of `npm run check:interchange`.

    python interchange.py expect         writes expected.json: token probabilities for llama.cpp to agree with
    python interchange.py save FOLDER    makes adapters in PEFT and saves them
    python interchange.py check FOLDER   loads what lorakeet wrote and compares functions

Weights are not stored: fill() makes them from the names of the tensors, here and in weights.mjs alike.
"""

import json
import os
import pathlib
import sys
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore")

import numpy as np
import peft
import safetensors.torch
import torch
import transformers

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
HERE = pathlib.Path(__file__).parent
CASES = json.loads((HERE / "cases.json").read_text())
IDS = torch.tensor([CASES["ids"]])
DORA = {"r": 4, "lora_alpha": 8, "use_dora": True, "target_modules": ["q_proj", "v_proj"]}
M32 = np.uint64(2**32 - 1)


def fill(name, shape):
    """Numbers in -0.5 ... 0.5 that float32 holds: MurmurHash3's finalizer of index and hash of the name (FNV-1a)."""
    seed = 0x811C9DC5
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x01000193) & 0xFFFFFFFF
    h = (np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint64) * np.uint64(0x9E3779B1)) & M32
    h ^= np.uint64(seed)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = ((h ^ (h >> np.uint64(shift))) * np.uint64(factor)) & M32
    h ^= h >> np.uint64(16)
    return torch.tensor(((h >> np.uint64(8)).astype(np.float64) / 2**24 - 0.5).reshape(shape)).float()


def weight(name, shape):
    """Of sizes that make attention and predictions sharp enough to tell adapters apart."""
    if name.endswith("norm.weight"):
        return 1 + 0.25 * fill(name, shape)
    sharp = {"q_proj": 1, "k_proj": 1, "embed_tokens": 1, "lm_head": 2}
    return fill(name, shape) * sharp.get(name.split(".")[-2], 0.5)


def make_model(name):
    """In float64, so that what it computes is a reference."""
    config = {**CASES["common"], **CASES["models"][name]}
    kind = config.pop("model_type")
    config.pop("architectures")
    model = transformers.AutoModelForCausalLM.from_config(
        transformers.AutoConfig.for_model(kind, **config), attn_implementation="eager"
    )
    model.load_state_dict({key: weight(key, tuple(value.shape)) for key, value in model.state_dict().items()})
    return model.double().eval()


def make_adapter(model, settings):
    model = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **settings))
    for name, parameter in model.named_parameters():
        plain = name.removeprefix("base_model.model.").replace(".default.weight", "")
        if ".lora_A" in plain or ".lora_B" in plain:
            parameter.data = (fill(plain, tuple(parameter.shape)) * 0.5).double()
        elif ".lora_magnitude_vector" in plain:
            parameter.data = parameter.data * (1 + 0.25 * fill(plain, tuple(parameter.shape)).double())
    return model


def probabilities(model):
    with torch.no_grad():
        return torch.softmax(model(IDS).logits[0, -1].double(), -1)


def expect():
    expected = {}
    for name in CASES["models"]:
        model = make_model(name)
        tensors = {key: list(value.shape) for key, value in model.state_dict().items()}
        expected[name] = {"tensors": tensors, "base": rounded(probabilities(model)), "adapters": {}}
        for adapter, settings in CASES["adapters"].items():
            model = make_adapter(make_model(name), settings)
            modules = {
                key.removeprefix("base_model.model."): {
                    "rank": layer.r["default"],
                    "inFeatures": layer.in_features,
                    "outFeatures": layer.out_features,
                    "scaling": layer.scaling["default"],
                }
                for key, layer in model.named_modules()
                if isinstance(layer, peft.tuners.lora.LoraLayer)
            }
            expected[name]["adapters"][adapter] = {"modules": modules, "probabilities": rounded(probabilities(model))}
    (HERE / "expected.json").write_text(json.dumps(expected, separators=(",", ":")).replace('"adapters":', '\n"adapters":') + "\n")


def rounded(values):
    return [float(f"{value:.6g}") for value in values.tolist()]


def save(folder):
    for name in CASES["models"]:
        for adapter, settings in {**CASES["adapters"], "dora": DORA}.items():
            model = make_adapter(make_model(name), settings).float()
            model.save_pretrained(f"{folder}/{name}/{adapter}/peft")


failures = []
count = 0


def check(what, ok, detail=""):
    global count
    count += 1
    if not ok:
        failures.append(what)
        print(f"  FAILED {what} {detail}")


def check_adapters(folder):
    for name in CASES["models"]:
        written = transformers.AutoModelForCausalLM.from_pretrained(
            f"{folder}/{name}", dtype=torch.float64, attn_implementation="eager"
        )
        ours = written.state_dict()
        reference = make_model(name).state_dict()
        check(f"{name} base", ours.keys() == reference.keys() and all(torch.equal(ours[k], reference[k]) for k in ours))
        for adapter, settings in {**CASES["adapters"], "dora": DORA}.items():
            expected = probabilities(make_adapter(make_model(name), settings))
            base = probabilities(make_model(name))
            check(f"{name} {adapter} does something", (expected - base).abs().max() > 1e-2)
            # the magnitudes of DoRA were rounded to float32 when PEFT saved them
            for form, tolerance in (("exact", 1e-6 if adapter == "dora" else 1e-9), ("portable", 1e-6), ("half", 1e-3)):
                path = pathlib.Path(folder, name, adapter, form)
                if not path.exists():
                    check(f"{name} {adapter} {form}", adapter == "dora" and form != "exact", "is missing")
                    continue
                model = peft.PeftModel.from_pretrained(make_model(name), path)
                loaded = peft.get_peft_model_state_dict(model, save_embedding_layers=False)
                file = safetensors.torch.load_file(path / "adapter_model.safetensors")
                check(f"{name} {adapter} {form} names", loaded.keys() == file.keys(), loaded.keys() ^ file.keys())
                error = (probabilities(model.double()) - expected).abs().max().item()
                check(f"{name} {adapter} {form}", error < tolerance, f"differs by {error:.2e}")
                model.float().save_pretrained(path.parent / f"{form}-again")
            control = pathlib.Path(folder, name, adapter, "control")
            error = (probabilities(peft.PeftModel.from_pretrained(make_model(name), control).double()) - expected).abs().max()
            check(f"{name} {adapter}: a scaling that is 10 % off shows", error > 1e-4, f"differs by {error:.2e}")


def check_embedding(folder):
    case = json.loads(pathlib.Path(folder, "embedding.json").read_text())
    x, y = (torch.tensor(case[key], dtype=torch.float64) for key in ("x", "y"))

    class Tower(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Linear(x.shape[1], x.shape[1], bias=False, dtype=torch.float64)
            self.embedding.weight.data = torch.eye(x.shape[1], dtype=torch.float64)

        def forward(self, rows):
            return self.embedding(rows)

    model = peft.PeftModel.from_pretrained(Tower(), pathlib.Path(folder, "embedding")).double()
    with torch.no_grad():
        error = (model(x) - y).abs().max().item()
    check("embedding adapter", error < 1e-5, f"differs by {error:.2e}")
    check("embedding adapter does something", (y - x).abs().max() > 1e-2)


def check_trained(folder):
    for own in sorted(pathlib.Path(folder, "trained").iterdir()):
        case = json.loads((own / "expected.json").read_text())
        said = {}
        for form in (None, "exact", "portable"):
            model = transformers.AutoModelForCausalLM.from_pretrained(case["path"], dtype=torch.float64)
            if form:
                model = peft.PeftModel.from_pretrained(model, own / form).double()
            said[form] = what_it_says(model.eval(), case["tokens"], len(case["base"]["greedy"]))
        for form, (logs, ids) in said.items():
            expected = case["adapted" if form else "base"]
            error = (logs - torch.tensor(expected["logProbabilities"]).double()).abs().max().item()
            check(f"trained {own.name} {form}", error < 1e-4, f"log-probabilities differ by {error:.2e}")
            check(f"trained {own.name} {form} greedily", ids == expected["greedy"], f"{ids}, not {expected['greedy']}")
        moved = (said["exact"][0] - said[None][0]).abs().max()
        check(f"trained {own.name} has learnt something", moved > 0.1, f"differs by {moved:.2e}")


def what_it_says(model, tokens, count):
    with torch.no_grad():
        ids = torch.tensor(tokens)
        logs = torch.log_softmax(model(ids[None]).logits[0, :-1], -1).gather(1, ids[1:, None])[:, 0]
        following = list(tokens)
        for _ in range(count):
            following.append(int(model(torch.tensor([following])).logits[0, -1].argmax()))
    return logs, following[len(tokens):]


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "check":
        check_adapters(*arguments)
        check_embedding(*arguments)
        check_trained(*arguments)
        versions = f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}"
        print(f"  {count - len(failures)} passed, {len(failures)} failed ({versions})")
        sys.exit(1 if failures else 0)
    {"expect": expect, "save": save}[command](*arguments)
