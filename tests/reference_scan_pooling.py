"""PyTorch's answers to tests/scan_pooling.rs: JSON on stdin, JSON on stdout.

In: a list of {"mean", "deviation": [F], "projection": [F][P] or null, "hidden": [[D][P], [D]] or null,
    "v", "u": [M][D], "w": [M], "classifier": [D], "bias": float, "scans": [[L][F], ...]}.
Out: for each the logits of the scans and the weights of their slices, scan by scan, by the module of Ilse, Tomczak and Welling
(2018), equations 8 and 9, in double precision.
"""

import json
import sys

import torch
from torch import nn


class GatedAttention(nn.Module):
    """z = sum_k a_k h_k with a = softmax(w^T (tanh(V h) * sigm(U h))), and a linear classifier over z."""

    def __init__(self, case):
        super().__init__()
        tensor = lambda value: torch.tensor(value, dtype=torch.float64)
        gates, width = len(case["w"]), len(case["classifier"])
        self.V = nn.Sequential(nn.Linear(width, gates, bias=False), nn.Tanh())
        self.U = nn.Sequential(nn.Linear(width, gates, bias=False), nn.Sigmoid())
        self.w = nn.Linear(gates, 1, bias=False)
        self.classifier = nn.Linear(width, 1)
        self.mean, self.deviation = tensor(case["mean"]), tensor(case["deviation"])
        self.projection = None if case["projection"] is None else tensor(case["projection"])
        self.hidden = nn.Identity()
        if case["hidden"] is not None:
            weight, bias = map(tensor, case["hidden"])
            self.hidden = nn.Sequential(nn.Linear(weight.shape[1], weight.shape[0]), nn.ReLU())
            self.hidden[0].weight, self.hidden[0].bias = nn.Parameter(weight), nn.Parameter(bias)
        self.V[0].weight = nn.Parameter(tensor(case["v"]))
        self.U[0].weight = nn.Parameter(tensor(case["u"]))
        self.w.weight = nn.Parameter(tensor([case["w"]]))
        self.classifier.weight = nn.Parameter(tensor([case["classifier"]]))
        self.classifier.bias = nn.Parameter(tensor([case["bias"]]))

    def forward(self, slices):
        x = (slices - self.mean) / self.deviation
        x = x if self.projection is None else x @ self.projection
        h = self.hidden(x)
        a = torch.softmax(self.w(self.V(h) * self.U(h)).T, dim=1)
        return self.classifier(a @ h).item(), a[0].tolist()


def main():
    answers = []
    for case in json.load(sys.stdin):
        network = GatedAttention(case).eval()
        with torch.no_grad():
            judged = [network(torch.tensor(scan, dtype=torch.float64)) for scan in case["scans"]]
        answers.append({"logits": [of[0] for of in judged], "weights": [of[1] for of in judged]})
    json.dump(answers, sys.stdout)


main()
