"""Prints kernels.json as words and numbers, for native/cuda/test, which has no JSON parser. Needs only Python 3.

    python3 flatten_kernels.py > kernels.txt

An array is its length and its elements; one that a case does not have is 0. native/cuda/test/goldens.cc reads the same order.
"""

import json
import pathlib
import sys

OPTIMIZERS = {"sgd": 0, "adamw": 1}
EWC_FORMS = {"proximal": 1, "gradient": 2}


def array(values):
    values = values or []
    return " ".join([str(len(values)), *map(repr, values)])


def lines(case):
    config, optimizer, ewc = case["config"], case["config"]["optimizer"], case["config"]["ewc"]
    bound = config["maxGradNorm"]
    yield "case " + case["name"].replace(" ", "_")
    yield " ".join(map(str, [
        config["rank"], config["inFeatures"], config["outFeatures"], int(config["residual"]),
        OPTIMIZERS[optimizer["kind"]], EWC_FORMS[ewc["form"]] if ewc else 0,
        repr(config["scaling"]), repr(config["learningRate"]), "inf" if bound is None else repr(bound),
        repr(ewc["lambda"] if ewc else 0.0), repr(optimizer.get("beta1", 0.0)), repr(optimizer.get("beta2", 0.0)),
        repr(optimizer.get("epsilon", 0.0)), repr(optimizer["weightDecay"]),
    ]))
    for section in ("weights", "fisher", "anchor"):
        yield array(case["state"].get(section))
    yield array(case["apply"]["x"])
    yield array(case["apply"]["y"])
    consolidate = case["consolidate"] or {"x": [], "fisher": [], "decay": 0.0}
    yield array(consolidate["x"])
    yield array(consolidate["fisher"])
    yield repr(consolidate["decay"])
    yield str(len(case["updates"]))
    for update in case["updates"]:
        yield array(update["x"])
        yield array(update["target"])
        yield array(update["rowWeight"])
        yield f"{update['loss']!r} {update['gradNorm']!r} {int(update['clipped'])}"
    for section in ("weights", "moment1", "moment2"):
        yield array(case["updated"].get(section))


cases = json.loads(pathlib.Path(__file__).with_name("kernels.json").read_text(encoding="utf-8"))["cases"]
sys.stdout.write("\n".join([str(len(cases)), *(line for case in cases for line in lines(case))]) + "\n")
