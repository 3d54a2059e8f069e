"""PEFT on PyTorch as a worker of `npm run bench -- llm`: each line of JSON on standard input is answered with one.

    {"kind": "open", "folder": …, "dtype": "float32" | "bfloat16", "threads": …, "task": …}
    {"kind": "steps", "count": …}
"""

import json
import os
import resource
import sys
import time
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore")

import peft
import torch
import transformers

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


def token_at(index, vocab_size):
    """As task.ts has it."""
    return (((index + 1) * 0x9E3779B1 & 0xFFFFFFFF) >> 8) % vocab_size


def open_model(folder, dtype, threads, task, **_):
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    start = time.perf_counter()
    base = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    seconds = time.perf_counter() - start
    settings = {"r": task["rank"], "lora_alpha": task["alpha"], "target_modules": task["modules"]}
    model = peft.get_peft_model(base, peft.LoraConfig(task_type="CAUSAL_LM", **settings)).train()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=task["learningRate"], weight_decay=0.0)
    name = f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}"
    return (model, parameters, optimizer, task), {"name": name, "loadSeconds": seconds}


def train(state, count, **_):
    model, parameters, optimizer, task = state
    batch, tokens = task["batchSize"], task["tokens"]
    vocab_size = model.config.vocab_size
    flat = torch.tensor([token_at(i, vocab_size) for i in range(count * batch * tokens)])
    examples = flat.view(count, batch, tokens)
    seconds, losses, cpu = [], [], time.process_time()
    for ids in examples:
        start = time.perf_counter()
        labels = ids.clone()
        labels[:, : tokens - task["targets"]] = -100
        loss = model(input_ids=ids, labels=labels, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds, "cpuSeconds": time.process_time() - cpu, "losses": losses}


state = None
for line in sys.stdin:
    question = json.loads(line)
    if question["kind"] == "open":
        state, answer = open_model(**question)
    elif question["kind"] == "memory":
        answer = {"peakBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    else:
        answer = train(state, **question)
    print(json.dumps(answer), flush=True)
