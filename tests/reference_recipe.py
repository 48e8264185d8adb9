"""PyTorch's AdamW, warm-up with cosine, and clipping, for tests/recipe.rs: JSON as the argument, JSON on stdout.

In: {"start": [float], "target": [float], "rate": float, "decay": float, "limit": float, "warm": int, "steps": int}.
Out: {"rates": [float], "weights": [[float]]}, the rate of each step and the weights after it. The loss is the sum of
fourth powers of weights minus target.
"""

import json
import sys

import torch

given = json.loads(sys.argv[1])
weights = torch.tensor(given["start"], dtype=torch.float32, requires_grad=True)
target = torch.tensor(given["target"], dtype=torch.float32)
optimizer = torch.optim.AdamW([weights], lr=given["rate"], weight_decay=given["decay"])
warm, steps = given["warm"], given["steps"]
schedules = [
    torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1 / warm, total_iters=warm - 1),
    torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps - warm),
]
schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, schedules, milestones=[warm])
rates, after = [], []
for _ in range(steps):
    rates.append(optimizer.param_groups[0]["lr"])
    optimizer.zero_grad()
    (weights - target).pow(4).sum().backward()
    torch.nn.utils.clip_grad_norm_([weights], given["limit"])
    optimizer.step()
    schedule.step()
    after.append(weights.tolist())
json.dump({"rates": rates, "weights": after}, sys.stdout)
