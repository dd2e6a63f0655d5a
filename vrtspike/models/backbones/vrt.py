"""VRT: A Video Restoration Transformer (Liang et al., arXiv 2201.12288).

Shapes: clip (B, T, C, H, W) with values in [0, 1]; features between stages (B, C, T, H, W); flows (B, T-d, 2, H, W).
Module names are those of the published checkpoints, which therefore load with ``strict=True``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from einops import rearrange
from einops.layers.torch import Rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.errors import ConfigError
from vrtspike.models.backbones.vrt_stage import VRTStage
from vrtspike.models.layers.blocks import ResidualAttentionGroup
from vrtspike.models.layers.checkpointing import POLICIES, MemoryFit, apply_policy, check_policy
from vrtspike.models.layers.clips import check_clip, pad_to_multiple
from vrtspike.models.layers.flow import SpyNet, clip_flows, load_spynet
from vrtspike.models.layers.frame_conv import FrameConv
from vrtspike.models.layers.precision import check_flow_precision, without_autocast
from vrtspike.models.layers.torch_compile import check_mode, compile_blocks
from vrtspike.models.layers.upsample import Upsample
from vrtspike.models.layers.warp import warp_to_corners
from vrtspike.ops import WINDOW_ATTENTION
from vrtspike.profiling import stage
from vrtspike.registry import BACKBONES

STAGES = 7
"""Stages 1-7 have one entry each in ``depths``, ``embed_dims`` and ``num_heads``; further entries form stage 8."""

SCALES = (1, 2, 4, 8, 4, 2, 1)
"""Divisor of height and width in stages 1-7."""

RESHAPES = ('none', 'down', 'down', 'down', 'up', 'up', 'up')

Fuse = Callable[[int, Tensor], Tensor]


@BACKBONES.register_module()
class VRT(nn.Module):
    """The published network, with its keyword arguments and defaults, for clips of any size.

    Clips whose height or width 8 does not divide are padded by repeating the border and cropped back. Trained from
    scratch the network begins as the identity (or plain enlargement): ``conv_last`` is zero.

    Args:
        upscale: 1, or a power of 2 for super-resolution.
        in_chans: Image channels that come in, without the noise level.
        out_chans: Image channels that go out.
        img_size: Training size (T, H, W); only interpolation depends on it, through T.
        window_size: Attention window (t, h, w) in tokens; axes of smaller maps shrink it.
        depths: Blocks of stages 1-7, then of every group of stage 8.
        indep_reconsts: Groups (indices from 7 on) that attend inside single frames.
        embed_dims: Channels, one entry per group as in ``depths``.
        num_heads: Attention heads, likewise.
        mul_attn_ratio: Share of a stage's blocks with mutual attention; the rest is self-attention over T frames.
        mlp_ratio: Hidden channels of the MLPs per channel.
        qkv_bias: Whether queries, keys and values have a bias.
        qk_scale: Factor on attention scores; None is 1/sqrt(channels per head).
        drop_path_rate: Stochastic depth of the last block; rates grow linearly from 0.
        spynet_path: Weights of the flow network; None takes those that ship with the package.
        pa_frames: Neighbours for parallel warping, both sides together: 2, 4 or 6; 0 makes a network for frame
            interpolation without flow.
        deformable_groups: Groups of channels with offsets of their own.
        recal_all_flows: Accepted for published configurations; it has no effect there either.
        nonblind_denoising: The clip has one channel more, the noise level.
        use_checkpoint_attn: Recompute attention in the backward pass to save memory.
        use_checkpoint_ffn: Likewise the MLPs.
        no_checkpoint_attn_blocks: Groups that keep their attention all the same.
        no_checkpoint_ffn_blocks: Likewise for the MLPs.
        attn_type: What computes the attention: 'auto', 'reference', 'sdpa', 'flex', 'flash' (the fused kernel for
            GPUs) or 'native' (that for CPUs).
        checkpointing: 'none', 'attn', 'ffn' or 'all' for all blocks, or 'auto' for the fastest of these that fits
            ``checkpoint_budget_mib``; None leaves it to the four arguments above.
        checkpoint_budget_mib: With 'auto': MiB that attention blocks may keep between the passes; None is half of
            what is free when a size of clip is first met.
        compile_mode: Compile attention and MLPs by ``torch.compile``: 'default', 'max-autotune-no-cudagraphs' or
            'reduce-overhead' (CUDA graphs); None does not.
        flow_precision: 'float32', since 16 bits do not hold a position, or 'autocast': what the rest is computed in,
            which is faster and good enough for motion of a few pixels.

    Raises:
        ConfigError: Lists disagree in length, an index names no group, or sizes do not divide.
    """

    def __init__(
        self,
        upscale: int = 4,
        in_chans: int = 3,
        out_chans: int = 3,
        img_size: Sequence[int] = (6, 64, 64),
        window_size: Sequence[int] = (6, 8, 8),
        depths: Sequence[int] = (8, 8, 8, 8, 8, 8, 8, 4, 4, 4, 4, 4, 4),
        indep_reconsts: Sequence[int] = (11, 12),
        embed_dims: Sequence[int] = (120, 120, 120, 120, 120, 120, 120, 180, 180, 180, 180, 180, 180),
        num_heads: Sequence[int] = (6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6),
        mul_attn_ratio: float = 0.75,
        mlp_ratio: float = 2.0,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        drop_path_rate: float = 0.2,
        spynet_path: str | None = None,
        pa_frames: int = 2,
        deformable_groups: int = 16,
        recal_all_flows: bool = False,
        nonblind_denoising: bool = False,
        use_checkpoint_attn: bool = False,
        use_checkpoint_ffn: bool = False,
        no_checkpoint_attn_blocks: Sequence[int] = (),
        no_checkpoint_ffn_blocks: Sequence[int] = (),
        attn_type: str = 'auto',
        checkpointing: str | None = None,
        checkpoint_budget_mib: float | None = None,
        compile_mode: str | None = None,
        flow_precision: str = 'float32',
    ) -> None:
        super().__init__()
        if attn_type != 'auto':
            WINDOW_ATTENTION.find(attn_type)
        check_policy(checkpointing)
        check_mode(compile_mode)
        check_flow_precision(flow_precision)
        self.flow_precision = flow_precision
        check_groups(depths, embed_dims, num_heads, indep_reconsts)
        check_sizes(embed_dims, num_heads, deformable_groups, pa_frames, upscale, window_size)
        window = tuple(window_size)
        channels = embed_dims[0]
        self.scale = upscale
        self.in_channels = in_chans + nonblind_denoising
        self.image_channels = in_chans
        self.pa_frames = pa_frames
        self.window = window
        self.depths = tuple(depths)
        self.stage_channels = (channels, *embed_dims[:STAGES])
        self.stage_scales = (1, *SCALES)

        seen = in_chans * (1 + 2 * 4) if pa_frames else in_chans
        self.conv_first = FrameConv(seen + nonblind_denoising, channels)
        if pa_frames:
            self.spynet = SpyNet()
            load_spynet(self.spynet, spynet_path)

        rates = torch.linspace(0, drop_path_rate, sum(depths), device='cpu').tolist()

        def group(i: int) -> dict:
            """Return what the attention blocks of group ``i`` are made with."""
            return dict(
                channels=embed_dims[i],
                heads=num_heads[i],
                depth=depths[i],
                drop_paths=rates[sum(depths[:i]) : sum(depths[: i + 1])],
                mlp_ratio=mlp_ratio,
                qkv_bias=qkv_bias,
                qk_scale=qk_scale,
                attn_type=attn_type,
                checkpoint_attn=use_checkpoint_attn and i not in no_checkpoint_attn_blocks,
                checkpoint_ffn=use_checkpoint_ffn and i not in no_checkpoint_ffn_blocks,
            )

        for i, (scale, reshape) in enumerate(zip(SCALES, RESHAPES, strict=True)):
            vrt_stage = VRTStage(
                reshape=reshape,
                in_channels=self.stage_channels[i],
                mutual_depth=int(depths[i] * mul_attn_ratio),
                window=window,
                pa_frames=pa_frames,
                deformable_groups=deformable_groups,
                max_residue=10 / scale,
                **group(i),
            )
            setattr(self, f'stage{i + 1}', vrt_stage)
        wide = embed_dims[STAGES]
        self.stage8 = nn.ModuleList([nn.Sequential(
            Rearrange('b c t h w -> b t h w c'), nn.LayerNorm(channels), nn.Linear(channels, wide)
        )])  # fmt: skip
        for i in range(STAGES, len(depths)):
            frame_window = (1, *window[1:])
            self.stage8.append(
                ResidualAttentionGroup(window=frame_window if i in indep_reconsts else window, **group(i))
            )
        self.norm = nn.LayerNorm(wide)
        self.conv_after_body = nn.Linear(wide, channels)
        self.build_head(channels, out_chans, img_size[0])
        self.init_weights()
        self.memory_fit = MemoryFit(checkpoint_budget_mib) if checkpointing == 'auto' else None
        if checkpointing in POLICIES:
            apply_policy(self, checkpointing)
        if compile_mode:
            compile_blocks(self, compile_mode)

    def build_head(self, channels: int, out_chans: int, frames: int) -> None:
        """Add the layers after the global residual."""
        if not self.pa_frames:
            self.linear_fuse = nn.Conv2d(channels * frames, 64, 1)
            self.conv_last = nn.Conv2d(64, out_chans, 7)
        elif self.scale == 1:
            self.conv_last = FrameConv(channels, out_chans)
        else:
            before = FrameConv(channels, 64)
            self.conv_before_upsample = nn.Sequential(before, nn.LeakyReLU())
            self.upsample = Upsample(self.scale, 64)
            self.conv_last = FrameConv(64, out_chans)

    def init_weights(self) -> None:
        """Initialise linear layers as the published network does, but for two exceptions.

        The last convolution is zero, so that training starts at the identity. The MLPs that fuse aligned neighbours
        keep the variance of what they get: nothing leads around them, and at std 0.02 narrow networks lose their
        signal there (at 16 channels the gradient of stage 4's fusion was 1e-22).
        """
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                std = module.in_features**-0.5 if '.pa_fuse.' in name else 0.02
                nn.init.trunc_normal_(module.weight, std=std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.zeros_(self.conv_last.weight)
        nn.init.zeros_(self.conv_last.bias)

    def frames_out(self, frames: int) -> int:
        """Return how many frames come out for ``frames`` that go in."""
        return frames if self.pa_frames else 1

    @staticmethod
    def cost_stages() -> tuple[str, ...]:
        """Return the names of the marked stages, in the order they run."""
        return ('flow', 'input', *(f'stage{i}' for i in range(1, 9)), 'reconstruction')

    def summary_rows(self) -> list[dict[str, object]]:
        """Return one row per stage: blocks, window, channels and parameters as they were really built."""
        rows = [{'part': 'flow', 'module': self.spynet}] if self.pa_frames else []
        rows.append({'part': 'input', 'module': self.conv_first})
        for i in range(STAGES):
            module = getattr(self, f'stage{i + 1}')
            mutual, rest = len(module.residual_group1.blocks), len(module.residual_group2.blocks)
            row = {'part': f'stage{i + 1}', 'blocks': f'{mutual} + {rest}', 'module': module}
            rows.append(row | {'channels': self.stage_channels[i + 1], 'scale': f'1/{SCALES[i]}'})
        groups = [len(group.residual_group.blocks) for group in self.stage8[1:]]
        row = {'part': 'stage8', 'blocks': ' + '.join(map(str, groups)), 'module': self.stage8}
        rows.append(row | {'channels': self.norm.normalized_shape[0], 'scale': '1/1'})
        rows.append({'part': 'reconstruction', 'module': nn.ModuleList(self.reconstruction_modules())})
        for row in rows:
            row['parameters'] = sum(parameter.numel() for parameter in row.pop('module').parameters())
        return rows

    def reconstruction_modules(self) -> list[nn.Module]:
        """Return the modules after stage 8."""
        names = ('norm', 'conv_after_body', 'linear_fuse', 'conv_before_upsample', 'upsample', 'conv_last')
        return [getattr(self, name) for name in names if hasattr(self, name)]

    def forward(self, clip: Tensor, *, fuse: Fuse | None = None) -> Tensor:
        """Restore a clip.

        Args:
            clip: (B, T, in_channels, H, W) in [0, 1].
            fuse: Called as ``fuse(i, features)`` with features (B, C, T, H, W) after the input convolution (i = 0)
                and after stages 1-7; what it returns is what the next stage and the skip connections see.

        Returns:
            (B, T, out_chans, upscale*H, upscale*W), or one frame where the network interpolates.
        """
        check_clip(self, clip, self.in_channels)
        height, width = clip.shape[-2:]
        clip = pad_to_multiple(clip, 8)
        if self.memory_fit and self.training and torch.is_grad_enabled():
            self.memory_fit(self, self.attention_groups(), (*clip.shape[:2], *clip.shape[-2:]), clip)
        image = clip[:, :, : self.image_channels]
        mean = None if self.pa_frames else image.mean((1, 3, 4), keepdim=True)
        flows = self.flows(image)
        with stage('input') as s:
            x = s.leave(self.first_features(clip if mean is None else clip - mean, flows))
        fuse = fuse or (lambda _, features: features)
        x = fuse(0, x)
        deep = self.deep_features(x, flows, fuse)
        with stage('reconstruction') as s:
            out = s.leave(self.reconstruct(s.enter(x), s.enter(deep), image, mean))
        return out[..., : height * self.scale, : width * self.scale]

    def attention_groups(self) -> list[tuple[nn.Module, int]]:
        """Return the parts that hold attention blocks, with the divisor of height and width each works at."""
        stages = [(getattr(self, f'stage{i + 1}'), scale) for i, scale in enumerate(SCALES)]
        return [*stages, (self.stage8, 1)]

    def flows(self, image: Tensor) -> list[tuple[list[Tensor], list[Tensor]]]:
        """Return for scales 1, 1/2, 1/4, 1/8 the (backward, forward) flows of every distance in frames."""
        if not self.pa_frames:
            return [([], [])] * 4
        own_precision = without_autocast(image.device) if self.flow_precision == 'float32' else nullcontext()
        with stage('flow') as s, own_precision:
            return [
                ([s.leave(flow) for flow in backward], [s.leave(flow) for flow in forward])
                for backward, forward in clip_flows(self.spynet, image, self.pa_frames // 2)
            ]

    def first_features(self, clip: Tensor, flows: list[tuple[list[Tensor], list[Tensor]]]) -> Tensor:
        """Return the features (B, C, T, H, W) of every frame together with its warped neighbours."""
        image, noise = clip[:, :, : self.image_channels], clip[:, :, self.image_channels :]
        if self.pa_frames:
            (backward, *_), (forward, *_) = flows[0]
            image = torch.cat((image, *warped_neighbours(image, backward, forward)), dim=2)
        return self.conv_first(torch.cat((image, noise), dim=2).transpose(1, 2))

    def deep_features(self, x: Tensor, flows: list[tuple[list[Tensor], list[Tensor]]], fuse: Fuse) -> Tensor:
        """Run the eight stages on (B, C, T, H, W); return what leaves stage 8 (B, T, H, W, C8)."""
        outputs = []
        for i, scale in enumerate(SCALES):
            if i >= 5:  # stages 6 and 7 also see what left stages 3 and 2
                x = x + outputs[7 - i]
            with stage(f'stage{i + 1}') as s:
                x = s.leave(getattr(self, f'stage{i + 1}')(s.enter(x), *flows[scale.bit_length() - 1]))
            x = fuse(i + 1, x)
            outputs.append(x)
        with stage('stage8') as s:
            x = s.enter(x + outputs[0])
            for module in self.stage8:
                x = module(x)
            return s.leave(x)

    def reconstruct(self, x: Tensor, deep: Tensor, image: Tensor, mean: Tensor | None) -> Tensor:
        """Return the restored frames from the first features, the deep ones and the frames that came in."""
        x = x + rearrange(self.conv_after_body(self.norm(deep)), 'b t h w c -> b c t h w')
        if mean is not None:  # interpolation: all frames make one
            x = F.leaky_relu(self.linear_fuse(rearrange(x, 'b c t h w -> b (t c) h w')), 0.2)
            return self.conv_last(F.pad(x, (3, 3, 3, 3), mode='reflect'))[:, None] + mean
        image = image.transpose(1, 2)
        if self.scale > 1:
            x = self.upsample(self.conv_before_upsample(x))
            image = F.interpolate(image, size=x.shape[2:], mode='trilinear', align_corners=False)
        return (self.conv_last(x) + image).transpose(1, 2)


def warped_neighbours(image: Tensor, backward: Tensor, forward: Tensor) -> list[Tensor]:
    """Return the four pixels around where every frame's pixels are in the next, and in the previous frame.

    Args:
        image: (B, T, C, H, W).
        backward: Flow from every frame to the next (B, T-1, 2, H, W).
        forward: Flow from every frame but the first to the previous one (B, T-1, 2, H, W).

    Returns:
        Two maps (B, T, 4*C, H, W), zero where there is no such neighbour.
    """
    b, t = image.shape[:2]
    if t == 1:
        return [image.new_zeros(b, 1, 4 * image.shape[2], *image.shape[-2:])] * 2
    pairs = ((image[:, 1:], backward, (0, 1)), (image[:, :-1], forward, (1, 0)))
    corners = [
        (warp_to_corners(near.flatten(0, 1), flow.flatten(0, 1)).unflatten(0, (b, t - 1)), ends)
        for near, flow, ends in pairs
    ]
    return [F.pad(map_, (0, 0, 0, 0, 0, 0, *ends)) for map_, ends in corners]


def check_groups(
    depths: Sequence[int], embed_dims: Sequence[int], num_heads: Sequence[int], indep_reconsts: Sequence[int]
) -> None:
    """Refuse lists of groups that disagree; see :class:`VRT`."""
    lengths = {'depths': len(depths), 'embed_dims': len(embed_dims), 'num_heads': len(num_heads)}
    if len(set(lengths.values())) > 1 or len(depths) <= STAGES:
        found = ', '.join(f'{name} has {length}' for name, length in lengths.items())
        raise ConfigError(
            f'VRT: depths, embed_dims and num_heads need one entry for each of stages 1-{STAGES} and one for each '
            f'group of stage 8, at least {STAGES + 1}, all three alike; found: {found}'
        )
    strangers = [i for i in indep_reconsts if not STAGES <= i < len(depths)]
    if strangers:
        raise ConfigError(
            f'VRT: indep_reconsts={list(indep_reconsts)} names no group of stage 8: {strangers}; with {len(depths)} '
            f'groups they are {list(range(STAGES, len(depths)))}'
        )


def check_sizes(
    embed_dims: Sequence[int],
    num_heads: Sequence[int],
    deformable_groups: int,
    pa_frames: int,
    upscale: int,
    window_size: Sequence[int],
) -> None:
    """Refuse sizes that do not divide or add; see :class:`VRT`."""
    problems = []
    for i, (channels, heads) in enumerate(zip(embed_dims, num_heads, strict=True)):
        if channels % heads:
            problems.append(f'embed_dims[{i}] = {channels} is no multiple of num_heads[{i}] = {heads}')
    for i, j in ((4, 2), (5, 1), (6, 0)):
        if embed_dims[i] != embed_dims[j]:
            problems.append(
                f'stages {i + 1} and {j + 1} are added, but embed_dims[{i}] = {embed_dims[i]} and '
                f'embed_dims[{j}] = {embed_dims[j]}'
            )
    if pa_frames not in (0, 2, 4, 6):
        problems.append(f'pa_frames = {pa_frames} is none of 0, 2, 4, 6')
    elif pa_frames:
        problems += warping_problems(embed_dims[:STAGES], pa_frames // 2, deformable_groups)
    if upscale < 1 or upscale & (upscale - 1):
        problems.append(f'upscale = {upscale} is no power of 2')
    if len(window_size) != 3 or min(window_size) < 1:
        problems.append(f'window_size = {list(window_size)} is not three positive lengths (t, h, w)')
    if problems:
        raise ConfigError(f'VRT: {"; ".join(problems)}')


def warping_problems(channels: Sequence[int], neighbours: int, deformable_groups: int) -> list[str]:
    """Report channels that the deformable convolution cannot divide; ``neighbours`` are those on one side."""
    problems = []
    ungrouped = [c for c in channels if c % neighbours]
    if ungrouped:
        problems.append(
            f'embed_dims has {ungrouped[0]} channels, which pa_frames = {2 * neighbours} needs to be a multiple of its '
            f'{neighbours} neighbours on one side'
        )
    undivided = [c for c in channels if c * neighbours % deformable_groups]
    if undivided:
        product = f'{undivided[0]} channels x {neighbours}'
        problems.append(f'{product} do not divide into {deformable_groups} deformable_groups')
    return problems
