#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A plain Vision Transformer of random weights: 224 x 224 pixels, patches of 16, 1000 classes.

    bench/made_vit.py WIDTH HEADS BLOCKS OUT.onnx      192 3 12: ViT-Tiny/16; 768 12 12: ViT-B/16
"""
import sys

if __name__ == "__main__" and (len(sys.argv) != 5 or {"-h", "--help"} & set(sys.argv)):
    print(__doc__)
    sys.exit(0 if {"-h", "--help"} & set(sys.argv) else 2)

import torch  # noqa: E402
from torch import nn  # noqa: E402


class Network(nn.Module):
    def __init__(self, width, heads, blocks):
        super().__init__()
        self.heads = heads
        self.stem = nn.Conv2d(3, width, 16, 16)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.randn(1, 197, width) * 0.02)
        self.blocks = nn.ModuleList(nn.ModuleDict({
            "norm1": nn.LayerNorm(width), "qkv": nn.Linear(width, 3 * width),
            "project": nn.Linear(width, width), "norm2": nn.LayerNorm(width),
            "fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width),
        }) for _ in range(blocks))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 1000)

    def forward(self, x):
        x = self.stem(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        for block in self.blocks:
            q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2)
                       for part in block["qkv"](block["norm1"](x)).chunk(3, -1))
            mixed = nn.functional.scaled_dot_product_attention(q, k, v)
            x = x + block["project"](mixed.transpose(1, 2).flatten(2))
            x = x + block["fc2"](nn.functional.gelu(block["fc1"](block["norm2"](x))))
        return self.head(self.norm(x)[:, 0])


def made_vit(width, heads, blocks):
    torch.manual_seed(0)
    return Network(width, heads, blocks).eval()


def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    torch.onnx.export(made_vit(*map(int, sys.argv[1:4])), torch.zeros(1, 3, 224, 224), sys.argv[4],
                      input_names=["image"], output_names=["logits"], opset_version=17,
                      dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}}, dynamo=False)


if __name__ == "__main__":
    main()
