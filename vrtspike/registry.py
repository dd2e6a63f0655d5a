"""Every registry of the project on one screen, each with its contract.

Shapes: B batch, T frames, C channels, H x W pixels of RGB, Hs x Ws pixels of spikes, K temporal bins.
"""

from mmengine import registry as mmengine

from vrtspike.contracts import Contract, Registry

# All registries on one screen:
# fmt: off

# Networks: the parts of a restorer. They have no parent, because a scope may have only one child of each root.
BACKBONES = Registry('backbone', 'vrtspike.models', Contract(
    'forward(clip, *, fuse=None): (B, T, in_channels, H, W) -> (B, frames_out(T), 3, scale*H, scale*W); calls '
    'fuse(i, features (B, C, T, H, W)) after the input convolution (i = 0) and after stages 1-7 and continues '
    'with the result; stage_channels[i] is C there, stage_scales[i] the divisor of H and W; '
    'optional: parts_of_blur_alone(i), the modules before fuse(i) that see the blurred frames alone',
    arguments=('clip', 'fuse'),
    attributes=('in_channels', 'scale', 'frames_out', 'stage_channels', 'stage_scales', 'cost_stages')))
SPIKE_ENCODERS = Registry('spike encoder', 'vrtspike.models', Contract(
    'voxel (B, T, K, Hs, Ws) -> list of (B, channels[i], T, Hs/2^i, Ws/2^i)',
    arguments=('voxel',), attributes=('channels',)))
TSA = Registry('temporal self-attention', 'vrtspike.models', Contract(
    'spike features (B, C, T, h, w) -> the same shape; built once per scale with channels=', arguments=('x',)))
FUSION_HEADS = Registry('fusion head', 'vrtspike.models', Contract(
    'rgb and spike features, both (B, C, T, H, W) -> (B, C, T, H, W); built once per placement with channels=',
    arguments=('rgb', 'spike')))

# Data.
CLIP_SOURCES = Registry('clip source', 'vrtspike.datasets', Contract(
    'sequences(split) -> list of Sequence: the paths of the frames, targets and spikes of a data set',
    attributes=('sequences',)))
REPRESENTATIONS = Registry('spike representation', 'vrtspike.datasets', Contract(
    'spikes of one exposure (steps, H, W) of 0 and 1 -> (K, H, W) float32', arguments=('spikes',)))

# Children of MMEngine's registries, so that its Runner finds our parts, and our configs find its parts.
MODELS = Registry('model', 'vrtspike.models', Contract(
    'a restorer, a data preprocessor or a loss, as MMEngine defines them; or a time embedding'), mmengine.MODELS)
DATASETS = Registry('dataset', 'vrtspike.datasets', Contract(
    'a torch data set of samples as vrtspike.datasets.clips documents them', attributes=('__len__', '__getitem__')),
    mmengine.DATASETS)
DATA_SAMPLERS = Registry('data sampler', 'vrtspike.datasets', Contract(
    'iterates over the keys of samples', attributes=('__iter__',)), mmengine.DATA_SAMPLERS)
TRANSFORMS = Registry('transform', 'vrtspike.datasets', Contract(
    'a sample (dict) -> the sample changed', attributes=('__call__',)), mmengine.TRANSFORMS)
METRICS = Registry('metric', 'vrtspike.metrics', Contract(
    'an mmengine BaseMetric', attributes=('process', 'compute_metrics')), mmengine.METRICS)
HOOKS = Registry('hook', 'vrtspike.hooks', Contract(
    'an mmengine Hook', attributes=('before_run', 'after_run')), mmengine.HOOKS)
OPTIM_WRAPPERS = Registry('optimizer wrapper', 'vrtspike.optim', Contract(
    'an mmengine OptimWrapper', attributes=('update_params',)), mmengine.OPTIM_WRAPPERS)
OPTIMIZERS = Registry('optimizer', 'vrtspike.optim', Contract(
    'a torch optimizer, whose first argument is the parameters', attributes=('step', 'zero_grad')), mmengine.OPTIMIZERS)
OPTIM_WRAPPER_CONSTRUCTORS = Registry('optimizer wrapper constructor', 'vrtspike.optim', Contract(
    'a model -> the optimizer wrapper with its parameter groups', attributes=('__call__',)),
    mmengine.OPTIM_WRAPPER_CONSTRUCTORS)
PARAM_SCHEDULERS = Registry('parameter scheduler', 'vrtspike.optim', Contract(
    'an mmengine parameter scheduler', attributes=('step',)), mmengine.PARAM_SCHEDULERS)
LOOPS = Registry('loop', 'vrtspike.engine', Contract('an mmengine loop', attributes=('run',)), mmengine.LOOPS)
VISUALIZERS = Registry('visualizer', 'vrtspike.engine', Contract(
    'an mmengine Visualizer', attributes=('add_image', 'add_scalars')), mmengine.VISUALIZERS)
VISBACKENDS = Registry('visualizer backend', 'vrtspike.reporting', Contract(
    'an mmengine BaseVisBackend', attributes=('add_image', 'add_scalars')), mmengine.VISBACKENDS)

REGISTRIES = (BACKBONES, SPIKE_ENCODERS, TSA, FUSION_HEADS, CLIP_SOURCES, REPRESENTATIONS, MODELS, DATASETS,
              DATA_SAMPLERS, TRANSFORMS, METRICS, HOOKS, OPTIM_WRAPPERS, OPTIMIZERS,
              OPTIM_WRAPPER_CONSTRUCTORS, PARAM_SCHEDULERS, LOOPS, VISUALIZERS, VISBACKENDS)
