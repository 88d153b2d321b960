# SPDX-License-Identifier: Apache-2.0
"""Modules and loaders of PyTorch; skipped without it."""

import numpy as np
import pytest

import transpike

torch = pytest.importorskip("torch")


class Attention(torch.nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = torch.nn.Linear(width, 3 * width)
        self.proj = torch.nn.Linear(width, width)

    def forward(self, x):
        n, tokens, width = x.shape
        qkv = self.qkv(x).reshape(n, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        p = (q @ k.transpose(-2, -1) * (width // self.heads) ** -0.5).softmax(-1)
        return self.proj((p @ v).transpose(1, 2).reshape(n, tokens, width))


class Block(torch.nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = torch.nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.norm2 = torch.nn.LayerNorm(width)
        self.fc1 = torch.nn.Linear(width, 2 * width)
        self.fc2 = torch.nn.Linear(2 * width, width)
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.dropout(self.fc2(torch.nn.functional.gelu(self.fc1(self.norm2(x)))))


class TinyViT(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = torch.nn.Conv2d(3, 16, 4, 4)
        self.cls = torch.nn.Parameter(torch.zeros(1, 1, 16))
        self.position = torch.nn.Parameter(torch.randn(1, 17, 16) * 0.1)
        self.blocks = torch.nn.Sequential(Block(16, 2), Block(16, 2))
        self.norm = torch.nn.LayerNorm(16)
        self.head = torch.nn.Linear(16, 5)

    def forward(self, image):
        x = self.patch(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1) + self.position
        return self.head(self.norm(self.blocks(x))[:, 0])


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(1)
    return TinyViT()


@pytest.fixture(scope="module")
def loader():
    generator = torch.Generator().manual_seed(2)
    images = torch.rand(24, 3, 16, 16, generator=generator)
    labels = torch.randint(0, 5, (24,), generator=generator)
    return torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(images, labels), batch_size=8
    )


def test_from_a_module_and_a_loader_to_a_report(module, loader, tmp_path):
    path = tmp_path / "tiny.spike"
    module.train()
    module.blocks[1].eval()
    report = transpike.convert(
        module, loader, example=(1, 3, 16, 16), out=path, calib_images=12, steps=2
    )
    assert report.calibration_images == 12
    assert module.training and module.blocks[0].training and not module.blocks[1].training

    images = torch.cat([batch for batch, _ in loader])
    out = transpike.Session(path).run(images, steps=2)
    with torch.no_grad():
        expected = module.eval()(images).numpy()
    assert np.abs(out.logits - expected).max() < np.abs(expected).max()

    found = transpike.validate(
        path, module, loader, example=torch.zeros(1, 3, 16, 16), skip=12, timing=False
    )
    assert found.images == 12 and found.json["calibration_overlap"] == 0
    agreement = (out.logits.argmax(1) == expected.argmax(1))[12:].mean()
    assert found.steps[-1]["agreement"] == pytest.approx(agreement)


def test_export_gives_the_same_bytes_twice(module, tmp_path):
    for name in ("a.onnx", "b.onnx"):
        transpike.export_onnx(module, (1, 3, 16, 16), tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    port = transpike.FloatSession(tmp_path / "a.onnx").get_inputs()[0]
    assert port.name == "image" and port.shape[1:] == [3, 16, 16]


def test_a_module_needs_an_example(module, loader, tmp_path):
    with pytest.raises(transpike.Error, match="example="):
        transpike.convert(module, loader, out=tmp_path / "a.spike")
