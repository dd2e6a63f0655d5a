"""What plugins of different registries consist of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """What differs between plugins of different registries.

    Args:
        what: What a part is called in sentences.
        registry: Its registry.
        imports: Lines at the module's head.
        base: What the class derives from.
        body: Of the class, with ``{name}`` for its name.
        config: The line of the config that swaps it in.
        check: The function of :mod:`vrtspike.testing`.
    """

    what: str
    registry: str
    imports: str
    base: str
    body: str
    config: str
    check: str


CONV3D = '\nfrom vrtspike.models.layers.conv import Conv3d'

KINDS = {
    'fusion': Kind(
        'fusion head',
        'FUSION_HEADS',
        'from torch import Tensor, nn\n' + CONV3D,
        'nn.Module',
        '''\
    """Add projected spike features: rgb + W spike. W begins at zero, so the head begins as the identity.

    Args:
        channels: C, of both maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.project = Conv3d(channels, channels, 1)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, rgb: Tensor, spike: Tensor) -> Tensor:
        """Return RGB features (B, C, T, H, W) that have met ``spike``, of the same shape."""
        return rgb + self.project(spike)
''',
        "model = dict(fusion=dict(_delete_=True, type='{name}'))",
        'check_fusion_head',
    ),
    'tsa': Kind(
        'temporal self-attention',
        'TSA',
        'from torch import Tensor, nn\n' + CONV3D,
        'nn.Module',
        '''\
    """Mix every pixel's neighbouring frames: x + W * x, a depthwise convolution over 3 frames.

    Args:
        channels: C, of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0), groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return spike features of the shape of ``x``, (B, C, T, h, w)."""
        return x + self.mix(x)
''',
        "model = dict(tsa=dict(_delete_=True, type='{name}'))",
        'check_tsa',
    ),
    'spike_encoder': Kind(
        'spike encoder',
        'SPIKE_ENCODERS',
        'from torch import Tensor, nn\nfrom torch.nn import functional as F\n' + CONV3D,
        'nn.Module',
        '''\
    """Convolve every frame's bins, and pool the result to further scales.

    Args:
        bins: K, temporal bins of a voxel.
        channels: C, of every map.
        scales: Number of maps.
    """

    def __init__(self, bins: int = 32, channels: int = 48, scales: int = 4) -> None:
        super().__init__()
        self.channels = (channels,) * scales
        self.embed = Conv3d(bins, channels, (1, 3, 3), padding=(0, 1, 1))

    def forward(self, voxel: Tensor) -> list[Tensor]:
        """(B, T, K, Hs, Ws) -> one map (B, C, T, Hs/2^i, Ws/2^i), rounded up, per scale i."""
        maps = [self.embed(voxel.transpose(1, 2))]
        for _ in self.channels[1:]:
            maps.append(F.avg_pool3d(maps[-1], (1, 2, 2), ceil_mode=True))
        return maps
''',
        "model = dict(spike_encoder=dict(_delete_=True, type='{name}', bins=32))",
        'check_spike_encoder',
    ),
    'representation': Kind(
        'spike representation',
        'REPRESENTATIONS',
        'import numpy as np\n',
        '',
        '''\
    """Count the spikes of every pixel in the two halves of an exposure: (steps, H, W) -> (2, H, W)."""

    def __call__(self, spikes: np.ndarray) -> np.ndarray:
        """Return counts (2, H, W) float32 of ``spikes`` (steps, H, W) of 0 and 1."""
        halves = np.array_split(spikes, 2)
        return np.stack([half.sum(axis=0, dtype=np.float32) for half in halves])
''',
        """\
model = dict(spike_encoder=dict(bins=2))
_bins, _pack = dict(type='BinSpikes', representation=dict(type='{name}')), dict(type='PackClip')
train_dataloader = dict(
    dataset=dict(pipeline=[dict(type='PairedRandomCrop', size=32), dict(type='PairedRandomFlip'), _bins, _pack])
)
val_dataloader = dict(dataset=dict(pipeline=[dict(type='PairedCenterCrop', size=None), _bins, _pack]))""",
        'check_representation',
    ),
    'hook': Kind(
        'hook',
        'HOOKS',
        'from mmengine.hooks import Hook\nfrom mmengine.runner import Runner\n',
        'Hook',
        '''\
    """Logs that training begins.

    Args:
        greeting: What is logged.
    """

    def __init__(self, greeting: str = 'Training begins.') -> None:
        self.greeting = greeting

    def before_train(self, runner: Runner) -> None:
        """Log the greeting."""
        runner.logger.info(self.greeting)
''',
        "default_hooks = dict({plugin}=dict(type='{name}'))",
        'check_hook',
    ),
}
