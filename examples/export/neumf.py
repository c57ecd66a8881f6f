"""Train a neural recommender on MovieLens-100k and export it to ONNX.

NeuMF (He et al. 2017, Neural Collaborative Filtering): a product of embeddings
beside a small MLP, here predicting the rating itself. The ratings come with
recbole; every tenth is held out. About five seconds:

    python examples/export/neumf.py neumf.onnx
"""

from __future__ import annotations

import numpy as np
import torch
from common import arguments, export
from torch import nn

from trimtab.fetch import fetch_package_file

RATINGS = (
    "recbole",
    "1.2.1",
    "recbole/dataset_example/ml-100k/ml-100k.inter",
    "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
)


def read_ratings() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Users, items and ratings (1 to 5) of the 100,000 rows."""
    path = fetch_package_file(*RATINGS)
    rows = np.loadtxt(path, skiprows=1, usecols=(0, 1, 2), dtype=np.float32)
    table = torch.from_numpy(rows)
    return table[:, 0].long(), table[:, 1].long(), table[:, 2]


class NeuMF(nn.Module):
    """Rating of an item by a user."""

    def __init__(self, n_users: int, n_items: int, width: int = 32) -> None:
        super().__init__()
        self.user_product = nn.Embedding(n_users, width)
        self.item_product = nn.Embedding(n_items, width)
        self.user_mlp = nn.Embedding(n_users, width)
        self.item_mlp = nn.Embedding(n_items, width)
        self.mlp = nn.Sequential(
            nn.Linear(2 * width, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU()
        )
        self.head = nn.Linear(width + 32, 1)
        for part in self.modules():
            if isinstance(part, nn.Embedding):
                nn.init.normal_(part.weight, std=0.02)
        nn.init.constant_(self.head.bias, 3.53)  # the mean rating

    def forward(self, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
        product = self.user_product(user) * self.item_product(item)
        pair = torch.cat([self.user_mlp(user), self.item_mlp(item)], dim=-1)
        return self.head(torch.cat([product, self.mlp(pair)], dim=-1)).squeeze(-1)


def train(net: NeuMF, data: torch.utils.data.TensorDataset, *, epochs: int = 6) -> None:
    """AdamW on the squared error, batches of 512, one cycle of the rate."""
    users, items, ratings = data.tensors
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1.0)
    n_steps = epochs * -(-len(users) // 512)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, n_steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(users)).split(512):
            optimizer.zero_grad()
            error = net(users[batch], items[batch]) - ratings[batch]
            error.square().mean().backward()
            optimizer.step()
            schedule.step()


def main() -> None:
    args = arguments(__doc__ or "")
    torch.manual_seed(1)
    torch.set_num_threads(1)
    columns = read_ratings()
    users, items, ratings = columns
    held_out = torch.arange(len(users)) % 10 == 9
    net = NeuMF(int(users.max()) + 1, int(items.max()) + 1)
    train(net, torch.utils.data.TensorDataset(*(c[~held_out] for c in columns)))
    with torch.no_grad():
        error = net(users[held_out], items[held_out]) - ratings[held_out]
    rmse = error.square().mean().sqrt()
    print(f"RMSE on {int(held_out.sum())} held-out ratings: {rmse:.3f}")
    export(
        net,
        [users[:2], items[:2]],
        args.out,
        inputs=["user", "item"],
        outputs=["rating"],
        dynamic={name: {0: "rows"} for name in ("user", "item", "rating")},
        exporter=args.exporter,
        opset=args.opset,
    )


if __name__ == "__main__":
    main()
