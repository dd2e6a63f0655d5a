"""VRT: A Video Restoration Transformer (Liang et al., arXiv 2201.12288).

Shapes: clip (B, T, C, H, W) with values in [0, 1]; features between stages (B, C, T, H, W); flows (B, T-d, 2, H, W).
Modules have the names that published checkpoints use, so these load with ``strict=True``.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from einops import rearrange
from einops.layers.torch import Rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.models.backbones.staged import RESHAPES, SCALES, STAGES, Fuse, StagedBackbone, summary_row
from vrtspike.models.backbones.vrt_checks import check_frames, check_groups, check_sizes
from vrtspike.models.backbones.vrt_stage import VRTStage
from vrtspike.models.layers.alignment import neighbour_corners
from vrtspike.models.layers.blocks import ResidualAttentionGroup
from vrtspike.models.layers.branch_costs import BlockGroup
from vrtspike.models.layers.checkpointing import POLICIES, apply_policy, check_policy
from vrtspike.models.layers.conv import FrameConv, Upsample
from vrtspike.models.layers.flow import SpyNet, load_spynet
from vrtspike.models.layers.frame_flows import flow_steps_of, frame_flows
from vrtspike.models.layers.linear import Linear
from vrtspike.models.layers.maps import TokenNorm
from vrtspike.models.layers.memory_fit import MemoryFit
from vrtspike.models.layers.precision import check_flow_precision, without_autocast
from vrtspike.models.layers.spike_flow import SCFlow
from vrtspike.models.layers.torch_compile import check_mode, compile_blocks
from vrtspike.ops import WINDOW_ATTENTION
from vrtspike.ops.fused_attention import computes_in
from vrtspike.profiling import stage
from vrtspike.registry import BACKBONES

Flows = tuple[list[Tensor], list[Tensor]]
"""The backward and the forward flows of one scale, one flow for every distance in frames."""


@BACKBONES.register_module()
class VRT(StagedBackbone):
    """The published network, with its keyword arguments and defaults, for clips of any size.

    If the height or width of a clip is not a multiple of 8, its border is repeated and the result is cropped. Before
    training, the network is the identity (or plain upsampling), because ``conv_last`` is zero. Stages 1-7 have one
    entry each in ``depths``, ``embed_dims`` and ``num_heads``; further entries describe the groups of stage 8.

    Args:
        upscale: 1, or a power of 2 for super-resolution.
        in_chans: Channels of the input, without the noise level; the first ``out_chans`` are the image.
        out_chans: Image channels of the output.
        img_size: Training size (T, H, W); only frame interpolation depends on it, through T.
        window_size: Attention window (t, h, w) in tokens; it shrinks to fit smaller maps.
        depths: Blocks of stages 1-7, then of every group of stage 8.
        indep_reconsts: Groups of stage 8 (indices from 7) that attend within single frames.
        embed_dims: Channels, with entries as in ``depths``.
        num_heads: Attention heads, with entries as in ``depths``.
        mul_attn_ratio: Share of a stage's blocks with mutual attention; the rest is self-attention over T frames.
        mlp_ratio: Hidden channels of the MLPs per channel.
        qkv_bias: Whether queries, keys and values have a bias.
        qk_scale: Factor on attention scores; None is 1/sqrt(channels per head).
        drop_path_rate: Stochastic depth of the last block; rates grow linearly from 0.
        spynet_path: Weights of the flow network. None uses those shipped with the package for SpyNet, and random ones
            for SCFlow.
        pa_frames: Neighbouring frames for parallel warping, on both sides together: 2, 4 or 6; 0 builds a network for
            frame interpolation, without flow.
        deformable_groups: Groups of channels; each has its own offsets.
        recal_all_flows: Ignored, as in the published code; accepted because published configs set it.
        nonblind_denoising: The clip has one more channel, the noise level.
        use_checkpoint_attn: Recompute attention in the backward pass to save memory.
        use_checkpoint_ffn: The same for the MLPs.
        no_checkpoint_attn_blocks: Groups excluded from ``use_checkpoint_attn``.
        no_checkpoint_ffn_blocks: Groups excluded from ``use_checkpoint_ffn``.
        attn_type: Backend of the attention: 'auto' (on GPUs the fastest, by trials at first use), 'reference', 'sdpa',
            'flex', 'flash' (the fused kernel for GPUs) or 'native' (the fused kernel for CPUs).
        checkpointing: 'none', 'attn', 'ffn' or 'all' for all blocks; 'auto' recomputes those attentions and MLPs that
            free most memory for their time, until the rest fits ``checkpoint_budget_mib``; None applies the four
            arguments above.
        checkpoint_budget_mib: With 'auto': MiB of activations that attention blocks may save; None is a third of the
            free memory, measured before the first clip of each size.
        compile_mode: Compile attention and MLPs with ``torch.compile``: 'default', 'max-autotune-no-cudagraphs' or
            'reduce-overhead' (CUDA graphs); None does not compile.
        flow: Where flow comes from: 'rgb', the clip, by SpyNet; or 'spikes', raw spikes around each frame, by SCFlow
            (:mod:`vrtspike.models.layers.spike_flow`). Either network is the module ``spynet``.
        flow_precision: 'float32', because positions need more than 16 bits; or 'autocast', the precision of the rest of
            the network, which is faster and accurate enough for motion of a few pixels.

    Raises:
        ConfigError: Lists differ in length, an index is not that of a group, or sizes are not divisible.
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
        flow: str = 'rgb',
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
        self.image_channels = out_chans
        self.pa_frames = pa_frames
        self.window = window
        self.depths = tuple(depths)
        self.stage_channels = (channels, *embed_dims[:STAGES])

        inputs = in_chans + out_chans * 2 * 4 if pa_frames else in_chans
        self.conv_first = FrameConv(inputs + nonblind_denoising, channels)
        self.flow_steps = flow_steps_of(flow) if pa_frames else 0
        if self.flow_steps:
            self.spynet = SCFlow(spynet_path)
        elif pa_frames:
            self.spynet = SpyNet()
            load_spynet(self.spynet, spynet_path)

        rates = torch.linspace(0, drop_path_rate, sum(depths), device='cpu').tolist()

        def group(i: int) -> dict:
            """Return the arguments of the attention blocks of group ``i``."""
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
        widen = nn.Sequential(Rearrange('b c t h w -> b t h w c'), TokenNorm(channels), Linear(channels, wide))
        self.stage8 = nn.ModuleList([widen])
        for i in range(STAGES, len(depths)):
            frame_window = (1, *window[1:])
            self.stage8.append(
                ResidualAttentionGroup(window=frame_window if i in indep_reconsts else window, **group(i))
            )
        self.norm = TokenNorm(wide)
        self.conv_after_body = Linear(wide, channels)
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
        """Initialise linear layers as the published network does, with two exceptions.

        The last convolution is zero, so that training starts at the identity. The MLPs that fuse aligned neighbours
        preserve the variance of their input: no residual connection bypasses them, and with std 0.02 narrow networks
        lose their signal there (at 16 channels the gradient of stage 4's fusion was 1e-22).
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
        """Return the number of restored frames for a clip of ``frames`` frames."""
        return frames if self.pa_frames else 1

    @staticmethod
    def cost_stages() -> tuple[str, ...]:
        """Return the names of the marked stages, in the order they run."""
        return ('flow', 'input', *(f'stage{i}' for i in range(1, 9)), 'reconstruction')

    def summary_rows(self) -> list[dict[str, object]]:
        """Return one row per stage: blocks, channels, scale and parameters as built."""
        rows = [summary_row('flow', self.spynet)] if self.pa_frames else []
        rows.append(summary_row('input', self.conv_first))
        for i in range(1, STAGES + 1):
            module = getattr(self, f'stage{i}')
            mutual, rest = len(module.residual_group1.blocks), len(module.residual_group2.blocks)
            rows.append(self.stage_row(i, f'{mutual} + {rest}'))
        groups = ' + '.join(str(len(group.residual_group.blocks)) for group in self.stage8[1:])
        width = self.norm.normalized_shape[0]
        rows.append(summary_row('stage8', self.stage8, blocks=groups, channels=width, scale='1/1'))
        names = ('norm', 'conv_after_body', 'linear_fuse', 'conv_before_upsample', 'upsample', 'conv_last')
        after = [getattr(self, name) for name in names if hasattr(self, name)]
        return [*rows, summary_row('reconstruction', *after)]

    def restore(self, clip: Tensor, fuse: Fuse, windows: Tensor | None = None) -> Tensor:
        """Restore a clip with a height and width that are multiples of 8; see :meth:`forward`."""
        if not self.pa_frames:
            check_frames(clip.shape[1], self.linear_fuse.in_channels // self.stage_channels[0])
        if self.memory_fit and self.training and torch.is_grad_enabled():
            self.memory_fit(self.attention_groups(clip), (*clip.shape[:2], *clip.shape[-2:]), clip)
        image = clip[:, :, : self.image_channels]
        mean = None if self.pa_frames else image.mean((1, 3, 4), keepdim=True)
        flows = self.flows(image, windows)
        with stage('input') as s:
            x = s.leave(self.first_features(clip if mean is None else clip - mean, flows))
        x = fuse(0, x)
        deep = self.deep_features(x, flows, fuse)
        with stage('reconstruction') as s:
            return s.leave(self.reconstruct(s.enter(x), s.enter(deep), image, mean))

    def attention_groups(self, clip: Tensor) -> list[BlockGroup]:
        """Return the parts with attention blocks, with their maps for a clip."""
        dtype = computes_in(clip)
        first = clip.dtype if clip.is_cuda else dtype  # autocast leaves the norm before stage 1 in float32 there
        dtypes = (first, *[dtype] * (STAGES - 1))
        stages = [getattr(self, f'stage{i + 1}') for i in range(STAGES)]
        return [*map(BlockGroup, stages, SCALES, dtypes), BlockGroup(self.stage8, 1, dtype)]

    def flows(self, image: Tensor, windows: Tensor | None = None) -> list[Flows]:
        """Return the flows of scales 1, 1/2, 1/4 and 1/8."""
        if not self.pa_frames:
            return [([], [])] * 4
        own_precision = without_autocast(image.device) if self.flow_precision == 'float32' else nullcontext()
        with stage('flow') as s, own_precision:
            return [
                ([s.leave(flow) for flow in backward], [s.leave(flow) for flow in forward])
                for backward, forward in frame_flows(self.spynet, image, windows, self.pa_frames // 2)
            ]

    def first_features(self, clip: Tensor, flows: list[Flows]) -> Tensor:
        """Return the features (B, C, T, H, W) of every frame and its warped neighbours."""
        image, rest = clip[:, :, : self.image_channels], clip[:, :, self.image_channels :]
        if self.pa_frames:
            (backward, *_), (forward, *_) = flows[0]
            image = torch.cat((image, *neighbour_corners(image, backward, forward)), dim=2)
        return self.conv_first(torch.cat((image, rest), dim=2).transpose(1, 2))

    def deep_features(self, x: Tensor, flows: list[Flows], fuse: Fuse) -> Tensor:
        """Run the eight stages on (B, C, T, H, W); return the features after stage 8 (B, T, H, W, C8)."""
        outputs = self.run_stages(x, [flows[scale.bit_length() - 1] for scale in SCALES], fuse)
        with stage('stage8') as s:
            x = s.enter(outputs[-1] + outputs[0])
            for module in self.stage8:
                x = module(x)
            return s.leave(x)

    def reconstruct(self, x: Tensor, deep: Tensor, image: Tensor, mean: Tensor | None) -> Tensor:
        """Return the restored frames from the first features, the deep features and the input frames."""
        x = x + rearrange(self.conv_after_body(self.norm(deep)), 'b t h w c -> b c t h w')
        if mean is not None:  # frame interpolation: all frames are merged into one
            x = F.leaky_relu(self.linear_fuse(rearrange(x, 'b c t h w -> b (t c) h w')), 0.2)
            return self.conv_last(F.pad(x, (3, 3, 3, 3), mode='reflect'))[:, None] + mean
        image = image.transpose(1, 2)
        if self.scale > 1:
            x = self.upsample(self.conv_before_upsample(x))
            image = F.interpolate(image, size=x.shape[2:], mode='trilinear', align_corners=False)
        return (self.conv_last(x) + image).transpose(1, 2)
