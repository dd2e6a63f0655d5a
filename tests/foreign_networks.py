"""Networks that know nothing of vrtspike: a ResNet, a Swin transformer, and an MMEngine model around either."""

import torch
from mmengine.model import BaseModel
from torch import nn
from torch.nn import functional as F


class BasicBlock(nn.Module):
    def __init__(self, channels, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample = None
        if stride > 1 or channels != out:
            self.downsample = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        x += shortcut
        return self.relu(x)


class ResNet(nn.Module):
    """He et al., arXiv 1512.03385, with basic blocks."""

    def __init__(self, channels=8, blocks=(2, 2, 2, 2), classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, channels, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        width = channels
        for i, depth in enumerate(blocks):
            out = channels << i
            layers = [BasicBlock(width if j == 0 else out, out, 2 if i and j == 0 else 1) for j in range(depth)]
            self.add_module(f'layer{i + 1}', nn.Sequential(*layers))
            width = out
        self.layers = [f'layer{i + 1}' for i in range(len(blocks))]
        self.fc = nn.Linear(width, classes)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for name in self.layers:
            x = getattr(self, name)(x)
        return self.fc(x.mean((2, 3)))


class WindowAttention(nn.Module):
    def __init__(self, channels, heads, window):
        super().__init__()
        self.heads, self.window = heads, window
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        at = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing='ij')).flatten(1)
        apart = at[:, :, None] - at[:, None, :] + window - 1
        self.register_buffer('index', apart[0] * (2 * window - 1) + apart[1])

    def forward(self, x):
        """(windows, tokens, channels) to the same."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        bias = self.table[self.index].permute(2, 0, 1)
        return self.proj(F.scaled_dot_product_attention(q, k, v, bias).transpose(1, 2).flatten(2))


class SwinBlock(nn.Module):
    def __init__(self, channels, heads, window, shift):
        super().__init__()
        self.shift, self.window = shift, window
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attn = WindowAttention(channels, heads, window)
        self.mlp = nn.Sequential(nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels))

    def forward(self, x):
        """(B, H, W, C) to the same. Windows over the border see what is opposite, which the original masks."""
        w, (b, height, width, c) = self.window, x.shape
        windows = self.norm1(x).roll((-self.shift, -self.shift), (1, 2))
        windows = windows.view(b, height // w, w, width // w, w, c).transpose(2, 3).reshape(-1, w * w, c)
        windows = self.attn(windows).view(b, height // w, width // w, w, w, c).transpose(2, 3)
        x = x + windows.reshape(b, height, width, c).roll((self.shift, self.shift), (1, 2))
        return x + self.mlp(self.norm2(x))


class PatchMerging(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = nn.LayerNorm(4 * channels)
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)

    def forward(self, x):
        b, height, width, c = x.shape
        x = x.view(b, height // 2, 2, width // 2, 2, c).transpose(2, 3).flatten(3)
        return self.reduction(self.norm(x))


class Swin(nn.Module):
    """Liu et al., arXiv 2103.14030, without masks."""

    def __init__(self, channels=8, depths=(2, 2), window=4, classes=10):
        super().__init__()
        self.patch_embed = nn.Conv2d(3, channels, 4, 4)
        self.layers = nn.ModuleList()
        for i, depth in enumerate(depths):
            width = channels << i
            blocks = [SwinBlock(width, 2 << i, window, (window // 2) * (j % 2)) for j in range(depth)]
            merge = [PatchMerging(width)] if i < len(depths) - 1 else []
            self.layers.append(nn.Sequential(*blocks, *merge))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        x = self.patch_embed(x).permute(0, 2, 3, 1)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x).mean((1, 2)))


class Classifier(BaseModel):
    """The model of MMEngine's introduction, which takes a batch of (images, labels)."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, imgs, labels, mode):
        x = self.backbone(imgs)
        if mode == 'loss':
            return {'loss': F.cross_entropy(x, labels)}
        return x, labels


class Images(torch.utils.data.Dataset):
    def __init__(self, size=32):
        self.size = size

    def __len__(self):
        return 8

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        return torch.rand(3, self.size, self.size, generator=generator), index % 10
