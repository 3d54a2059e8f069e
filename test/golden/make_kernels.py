"""Writes kernels.json: what PyTorch makes of the adapter kernels, in float64. Needs torch; run it in this folder.

Nothing here is derived by hand: gradients and Fisher come from autograd, steps from torch.optim, clipping from
clip_grad_norm_. Only the proximal form of EWC, which PyTorch does not have, is written out: it is the minimiser of
lr * lambda / 2 * F * (v - anchor)^2 + 1/2 * (v - theta)^2.
"""

import json

import torch

torch.manual_seed(20240229)
F64 = torch.float64


def single(*shape, scale=1.0, positive=False):
    """Random float64 numbers that float32 holds exactly."""
    values = torch.rand(*shape) * scale if positive else torch.randn(*shape) * scale
    return values.float().to(F64)


def digits(tensor, count=9):
    return [float(f"{value:.{count}g}") for value in tensor.detach().reshape(-1).tolist()]


def exact(tensor):
    """Inputs, which are float32: nine digits identify them."""
    return digits(tensor, 9)


class Adapter:
    def __init__(self, rank, in_features, out_features, scaling, residual):
        self.scaling, self.residual = scaling, residual
        self.a = single(rank, in_features, scale=in_features**-0.5).requires_grad_()
        self.b = single(out_features, rank, scale=rank**-0.5).requires_grad_()

    def parameters(self):
        return [self.a, self.b]

    def forward(self, x, a=None, b=None):
        a = self.a if a is None else a
        b = self.b if b is None else b
        y = self.scaling * (x @ a.T @ b.T)
        return x + y if self.residual else y

    def flat(self):
        return torch.cat([self.a.reshape(-1), self.b.reshape(-1)])

    def split(self, section):
        a, b = section.split([self.a.numel(), self.b.numel()])
        return [a.reshape(self.a.shape), b.reshape(self.b.shape)]


def gauss_newton(adapter, x):
    """Mean over rows of the squared Jacobian, summed over outputs."""
    total = [torch.zeros_like(adapter.a), torch.zeros_like(adapter.b)]
    for row in x:
        jacobians = torch.autograd.functional.jacobian(
            lambda a, b: adapter.forward(row, a, b), (adapter.a.detach(), adapter.b.detach())
        )
        for fisher, jacobian in zip(total, jacobians):
            fisher += (jacobian**2).sum(0)
    return torch.cat([fisher.reshape(-1) for fisher in total]) / len(x)


def make_case(name, shape, optimizer, ewc=None, max_grad_norm=None, weighted=False, updates=1, rows=4, rate=0.5,
              scaling=0.75, residual=False, decay=0.9):
    rank, in_features, out_features = shape
    adapter = Adapter(rank, in_features, out_features, scaling, residual)
    parameter_count = adapter.flat().numel()
    state = {"weights": exact(adapter.flat())}
    if ewc:
        fisher = single(parameter_count, scale=2.0, positive=True)
        anchor = single(parameter_count, scale=0.5)
        state.update(fisher=exact(fisher), anchor=exact(anchor))
    else:
        fisher = anchor = None

    x = single(3, in_features)
    case = {
        "name": name,
        "config": {
            "rank": rank, "inFeatures": in_features, "outFeatures": out_features, "scaling": scaling,
            "residual": residual, "optimizer": optimizer, "ewc": ewc, "learningRate": rate,
            "maxGradNorm": max_grad_norm,
        },
        "state": state,
        "apply": {"x": exact(x), "y": digits(adapter.forward(x))},
        "updates": [],
        "updated": {},
        "consolidate": None,
    }
    if ewc:
        rows_x = single(5, in_features)
        case["consolidate"] = {
            "x": exact(rows_x), "decay": decay,
            "fisher": digits(decay * fisher + gauss_newton(adapter, rows_x)),
        }

    if optimizer["kind"] == "sgd":
        # torch adds weight_decay * theta to the clipped gradient, which without momentum is the decoupled form
        torch_optimizer = torch.optim.SGD(adapter.parameters(), lr=rate, weight_decay=optimizer["weightDecay"])
    else:
        torch_optimizer = torch.optim.AdamW(
            adapter.parameters(), lr=rate, betas=(optimizer["beta1"], optimizer["beta2"]), eps=optimizer["epsilon"],
            weight_decay=optimizer["weightDecay"],
        )
    for _ in range(updates):
        x, target = single(rows, in_features), single(rows, out_features)
        weight = single(rows, scale=2.0, positive=True) if weighted else torch.ones(rows, dtype=F64)
        losses = ((adapter.forward(x) - target) ** 2).mean(1)
        loss = (weight * losses).sum() / weight.sum()
        objective = loss
        if ewc and ewc["form"] == "gradient":
            objective = loss + ewc["lambda"] / 2 * (fisher * (adapter.flat() - anchor) ** 2).sum()
        torch_optimizer.zero_grad()
        objective.backward()
        bound = float("inf") if max_grad_norm is None else max_grad_norm
        grad_norm = torch.sqrt(sum((p.grad**2).sum() for p in adapter.parameters())).item()
        clipped = grad_norm > bound
        if clipped:
            torch.nn.utils.clip_grad_norm_(adapter.parameters(), bound)
        torch_optimizer.step()
        if ewc and ewc["form"] == "proximal":
            with torch.no_grad():
                strength = rate * ewc["lambda"] * fisher
                flat = (adapter.flat() + strength * anchor) / (1 + strength)
                for p, value in zip(adapter.parameters(), adapter.split(flat)):
                    p.copy_(value)
        case["updates"].append({
            "x": exact(x), "target": exact(target), "rowWeight": exact(weight) if weighted else None,
            "loss": digits(loss)[0], "gradNorm": grad_norm, "clipped": clipped,
        })
    case["updated"]["weights"] = digits(adapter.flat())
    if optimizer["kind"] == "adamw":
        moments = [torch_optimizer.state[p] for p in adapter.parameters()]
        case["updated"]["moment1"] = digits(torch.cat([m["exp_avg"].reshape(-1) for m in moments]))
        case["updated"]["moment2"] = digits(torch.cat([m["exp_avg_sq"].reshape(-1) for m in moments]))
    return case


SGD = {"kind": "sgd", "weightDecay": 0.0}
ADAMW = {"kind": "adamw", "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weightDecay": 0.01}
PROXIMAL = {"form": "proximal", "lambda": 2.0}
GRADIENT = {"form": "gradient", "lambda": 0.25}

CASES = [
    make_case("SGD", (2, 6, 6), SGD, residual=True),
    make_case("SGD, wide to narrow", (3, 11, 4), SGD, weighted=True),
    make_case("SGD, narrow to wide, rank above both", (7, 3, 5), SGD),
    make_case("SGD, weight decay, five steps", (2, 6, 6), {"kind": "sgd", "weightDecay": 0.1}, residual=True, updates=5),
    make_case("SGD, clip", (2, 8, 8), SGD, max_grad_norm=0.25, residual=True, updates=3),
    make_case("SGD, proximal EWC", (2, 6, 6), SGD, ewc=PROXIMAL, residual=True),
    make_case("SGD, EWC gradient", (2, 6, 5), SGD, ewc=GRADIENT),
    make_case("SGD, EWC gradient, clip, weights, three steps", (3, 7, 7), SGD, ewc=GRADIENT, max_grad_norm=0.5,
              weighted=True, updates=3, residual=True),
    make_case("AdamW, first step", (2, 6, 6), ADAMW, rate=0.05, residual=True),
    make_case("AdamW, six steps", (4, 12, 12), ADAMW, rate=0.05, residual=True, updates=6),
    make_case("AdamW, clip, weights, four steps", (3, 9, 10), ADAMW, rate=0.05, max_grad_norm=0.5, weighted=True, updates=4),
    make_case("AdamW, proximal EWC, four steps", (4, 16, 16), ADAMW, ewc=PROXIMAL, rate=0.05, residual=True, updates=4),
    make_case("AdamW, EWC gradient, four steps", (2, 5, 9), ADAMW, ewc=GRADIENT, rate=0.05, updates=4),
    make_case("AdamW, other settings", (5, 13, 13), {"kind": "adamw", "beta1": 0.8, "beta2": 0.9, "epsilon": 1e-3,
              "weightDecay": 0.5}, ewc=PROXIMAL, rate=0.1, residual=True, updates=3, weighted=True, decay=0.5),
    make_case("64 features, rank 4", (4, 64, 64), SGD, ewc=PROXIMAL, rate=8.0, residual=True, rows=8, scaling=0.25),
]

with open("kernels.json", "w", encoding="utf-8") as file:
    version = torch.__version__.split("+")[0]
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in CASES)
    file.write(f'{{"source":"PyTorch {version}, float64","cases":[\n{lines}\n]}}\n')
