"""The translation rule of every key of the old configs."""

from __future__ import annotations

from vrtspike.config.conversion.rules import Rule, leaves_out, only, sets, without_effect
from vrtspike.config.legacy.sections import (
    betas,
    bins,
    channels,
    clip_length,
    data_root,
    depths,
    image_suffix,
    mixed_precision,
    perceptual,
    sets_iterations,
    tensorboard,
    use_spikes,
    validation_crop,
    window,
)

DEFAULTS = {
    'model.loss.weight': 1.0,
    'model.spike_encoder.scales': 4,
    'model.tsa.dropout': 0.0,
    'model.tsa.mlp_ratio': 2.0,
    'model.fusion.dropout': 0.0,
    'model.fusion.mlp_ratio': 2.0,
}
"""Defaults of arguments that our baseline leaves to the constructors: overrides equal to them are dropped."""

RESUME = leaves_out('pass --resume or --load-from on the command line')
CACHE = leaves_out('spikes are decoded as they are read; nothing is precomputed')
ADAMW, COSINE = only('adamw', 'AdamW'), only('cosine')


def _attention_rules(section: str, part: str) -> dict[str, Rule]:
    """Return the rules of the settings that TSA and fusion share."""
    kinds = {
        'HEADS': 'int',
        'ADAPTIVE_CHUNK': 'bool',
        'MAX_BATCH_TOKENS': 'int',
        'CHUNK_SIZE': 'int',
        'CHUNK_SHAPE': 'text',
        'DROPOUT': 'float',
        'MLP_RATIO': 'float',
    }
    return {f'MODEL.{section}.{name}': sets(kind, f'model.{part}.{name.lower()}') for name, kind in kinds.items()}


RULES: dict[str, Rule] = {
    'SEED': sets('int', 'randomness.seed'),
    'DATA.ROOT': data_root,
    'DATA.TRAIN_SPLIT': sets('text', 'train_dataloader.dataset.split'),
    'DATA.VAL_SPLIT': sets('text', 'val_dataloader.dataset.split'),
    'DATA.CROP_SIZE': sets('int', 'train_dataloader.dataset.pipeline.0.size'),
    'DATA.VAL_CROP_SIZE': validation_crop,
    'DATA.CLIP_LEN': clip_length,
    'DATA.K': bins,
    'DATA.NUM_VOXEL_BINS': bins,
    'DATA.SPIKE_DIR': only('spike'),
    'DATA.VOXEL_CACHE_DIRNAME': CACHE,
    'DATA.USE_PRECOMPUTED_VOXELS': CACHE,
    'DATA.USE_RAM_CACHE': CACHE,
    'DATA.CACHE_SIZE_GB': CACHE,
    'DATA.IMAGE_EXTS': image_suffix,
    'DATA.NORM.MEAN': without_effect,
    'DATA.NORM.STD': without_effect,
    'MODEL.USE_SPIKE': use_spikes,
    'MODEL.CHANNELS_PER_SCALE': channels,
    'MODEL.VRT_DEPTHS': depths,
    'MODEL.WINDOW_SIZE': window,
    'MODEL.LAYERS': without_effect,
    'MODEL.FUSE.LAYERS': without_effect,
    'MODEL.VRT.USE_CHECKPOINT_ATTN': sets('bool', 'model.backbone.use_checkpoint_attn'),
    'MODEL.VRT.USE_CHECKPOINT_FFN': sets('bool', 'model.backbone.use_checkpoint_ffn'),
    'MODEL.SPIKE_ENCODER.TEMPORAL_STRIDES': only([1, 1, 1], [1, 1, 1, 1]),
    'MODEL.SPIKE_ENCODER.SPATIAL_STRIDES': only([2, 2, 2], [1, 2, 2, 2]),
    'MODEL.FUSE.TYPE': without_effect,
    **_attention_rules('SPIKE_TSA', 'tsa'),
    **_attention_rules('FUSE', 'fusion'),
    'DATALOADER.TOTAL_WORKERS': leaves_out('set num_workers of the two dataloaders'),
    'DATALOADER.TRAIN_WORKERS': sets('int', 'train_dataloader.num_workers'),
    'DATALOADER.VAL_WORKERS': sets('int', 'val_dataloader.num_workers'),
    'DATALOADER.PREFETCH': sets('int', 'train_dataloader.prefetch_factor'),
    'DATALOADER.PIN_MEMORY': sets('bool', 'train_dataloader.pin_memory', 'val_dataloader.pin_memory'),
    'TRAIN.EPOCHS': leaves_out('trainings are counted in iterations: set train_cfg.max_iters'),
    'TRAIN.TOTAL_STEPS': sets_iterations('train_cfg.max_iters'),
    'TRAIN.BATCH_SIZE': sets('int', 'train_dataloader.batch_size'),
    'TRAIN.VAL_BATCH_SIZE': sets('int', 'val_dataloader.batch_size'),
    'TRAIN.GRADIENT_ACCUMULATION_STEPS': sets('int', 'optim_wrapper.accumulative_counts'),
    'TRAIN.MAX_GRAD_NORM': sets('float', 'optim_wrapper.clip_grad.max_norm'),
    'TRAIN.COMPILE_MODEL': leaves_out('set compile = True at the top level of the config'),
    'TRAIN.AMP_ENABLED': mixed_precision,
    'TRAIN.AMP_OPT_LEVEL': mixed_precision,
    'TRAIN.OPTIM.TYPE': ADAMW,
    'TRAIN.OPTIM.NAME': ADAMW,
    'TRAIN.OPTIM.LR': sets('float', 'optim_wrapper.optimizer.lr'),
    'TRAIN.OPTIM.BETAS': betas,
    'TRAIN.OPTIM.WEIGHT_DECAY': sets('float', 'optim_wrapper.optimizer.weight_decay'),
    'TRAIN.SCHED.TYPE': COSINE,
    'TRAIN.SCHED.NAME': COSINE,
    'TRAIN.SCHED.WARMUP_STEPS': sets_iterations('param_scheduler.0.end', 'param_scheduler.1.begin'),
    'TRAIN.RESUME_FROM_CHECKPOINT': RESUME,
    'TRAIN.CHECKPOINT_PATH': RESUME,
    'LOSS.CHARBONNIER.DELTA': sets('float', 'model.loss.delta'),
    'LOSS.CHARBONNIER.WEIGHT': sets('float', 'model.loss.weight'),
    'LOSS.VGG_PERCEPTUAL.LAYERS': perceptual,
    'LOSS.VGG_PERCEPTUAL.WEIGHT': perceptual,
    'LOG.TENSORBOARD': tensorboard,
    'LOG.SAVE_DIR': sets('text', 'work_dir'),
    'LOG.VAL_EVERY_STEPS': sets_iterations('train_cfg.val_interval', 'default_hooks.checkpoint.interval'),
    'LOG.ENABLE_TIMING_LOG': leaves_out('StageCostHook always measures every stage'),
}
"""By the dotted key of the old config."""
