"""The translation rule of every key of KAIR's and S-VRT's options."""

from __future__ import annotations

from vrtspike.config.conversion.rules import Rule, leaves_out, only, sets
from vrtspike.config.kair import sections as rules

FIXED = {
    'optim_wrapper.accumulative_counts': 1,
    'optim_wrapper.clip_grad': None,
    'model.fusion_stages': [1, 2, 3, 4],
}
"""What KAIR's training always does, and the stages of the baseline's fusion."""

DEFAULTS = {'compile': False, 'model.backbone.nonblind_denoising': False, 'model.loss.weight': 1.0}
"""Values that our baseline has without naming them: overrides equal to them are dropped."""

BACKBONE = {
    'upscale': 'int',
    'img_size': 'ints',
    'window_size': 'ints',
    'depths': 'ints',
    'indep_reconsts': 'ints',
    'embed_dims': 'ints',
    'num_heads': 'ints',
    'pa_frames': 'int',
    'deformable_groups': 'int',
    'nonblind_denoising': 'bool',
    'use_checkpoint_attn': 'bool',
    'use_checkpoint_ffn': 'bool',
    'no_checkpoint_attn_blocks': 'ints',
    'no_checkpoint_ffn_blocks': 'ints',
}
"""Arguments of VRT, which have the same names here."""

PICTURES = leaves_out('ClipPicturesHook saves pictures of the validation clips')

RULES: dict[str, Rule] = {
    'gpu_ids': leaves_out('start processes with tools/dist_train.sh CONFIG PROCESSES', [0]),
    'n_channels': only(3),
    'runtime.cpu.omp_num_threads': leaves_out('set OMP_NUM_THREADS in the environment'),
    'path.root': leaves_out('give --work-dir', 'experiments'),
    'path.pretrained_netG': rules.pretrained,
    'path.pretrained_netE': rules.pretrained,
    'datasets.train.dataroot_gt': rules.data_set,
    'datasets.train.spike_channels': rules.representation,
    'datasets.train.middle_tfp_center': leaves_out('instants are the centres of equal parts of the exposure'),
    'datasets.train.spike_flipud': only(True),
    'datasets.train.rgb_normalize': leaves_out('frames stay in [0, 1]'),
    'datasets.train.spike_normalize.mean': rules.normalization,
    'datasets.train.spike_normalize.std': rules.normalization,
    'datasets.train.io_backend.type': leaves_out('frames are read as files or LMDBs', 'disk', 'lmdb'),
    'datasets.train.spike.precomputed.enable': leaves_out(
        'spikes are decoded as they are read; ReadArtefact in place of BinSpikes reads what was decoded before'
    ),
    'datasets.train.filename_ext': only('png', 'jpg'),
    'datasets.train.num_frame': rules.frames,
    'datasets.train.gt_size': sets('int', f'{rules.TRAIN}.pipeline.0.size'),
    'datasets.train.interval_list': leaves_out('clips have consecutive frames', [1]),
    'datasets.train.random_reverse': rules.flips,
    'datasets.train.use_hflip': rules.flips,
    'datasets.train.use_rot': rules.flips,
    'datasets.train.dataloader_shuffle': only(True),
    'datasets.train.dataloader_num_workers': rules.workers,
    'datasets.train.dataloader_batch_size': rules.batch,
    'datasets.train.dataloader_prefetch_factor': sets('int', 'train_dataloader.prefetch_factor'),
    'datasets.train.dataloader_persistent_workers': sets('bool', 'train_dataloader.persistent_workers'),
    'netG.net_type': rules.network,
    **{f'netG.{name}': sets(kind, f'model.backbone.{name}') for name, kind in BACKBONE.items()},
    'netG.spynet_path': rules.flow_weights,
    'netG.optical_flow.module': rules.flow,
    'netG.optical_flow.checkpoint': rules.flow_weights,
    'netG.dcn_type': leaves_out("the convolution is DCNv2's, as published", 'DCNv2'),
    'netG.dcn_apply_softmax': leaves_out("the convolution is DCNv2's, as published"),
    'netG.use_sgp': leaves_out('SGP blocks have no counterpart; attention is used'),
    'netG.fusion.placement': rules.placement,
    'netG.fusion.operator': rules.operator,
    'netG.fusion.inject_stages': rules.fusion_stages,
    'netG.spike_encoder.enable': leaves_out('its encoder has no counterpart; SpikeEncoder3D is used'),
    'netG.output_mode': leaves_out('only restoration is trained', 'restoration'),
    'train.G_lossfn_type': rules.loss_type,
    'train.G_lossfn_weight': sets('float', 'model.loss.weight'),
    'train.G_charbonnier_eps': rules.loss_epsilon,
    'train.E_decay': rules.average,
    'train.amp.enable': rules.precision,
    'train.compile.enable': sets('bool', 'compile'),
    'train.manual_seed': sets('int', 'randomness.seed'),
    'manual_seed': sets('int', 'randomness.seed'),
    'train.G_optimizer_type': rules.optimizer,
    'train.G_optimizer_clipgrad': rules.clip_gradients,
    'train.fix_iter': rules.freeze,
    'train.freeze_backbone': rules.freeze_backbone,
    'train.fix_lr_mul': rules.slow_parts,
    'train.total_iter': sets('int', 'train_cfg.max_iters'),
    'train.G_scheduler_type': rules.schedule,
    'train.G_regularizer_orthstep': leaves_out('weights are not made orthogonal'),
    'train.G_regularizer_clipstep': leaves_out('weights are not clipped'),
    'train.use_lora': rules.adapters,
    'train.fusion_warmup.head_only_iters': leaves_out('fusion heads begin as the identity; they are not warmed up', 0),
    'train.phase1_fusion_aux_loss_weight': leaves_out('there is no auxiliary loss on the fused frames', 0),
    'train.fusion_passthrough_loss_weight': leaves_out('fusion heads begin as the identity without a loss', 0),
    'train.checkpoint_test': rules.validation_interval,
    'train.checkpoint_save': sets('int', 'default_hooks.checkpoint.interval'),
    'train.checkpoint_print': sets('int', 'default_hooks.logger.interval'),
    'val.save_img': PICTURES,
    'val.pad_seq': leaves_out('clips are not extended in time'),
    'val.flip_seq': leaves_out('test with --ensemble'),
    'val.center_frame_only': leaves_out('every frame is scored'),
    'val.num_frame_testing': rules.tiling,
    'logging.use_tensorboard': rules.watching,
    'logging.use_wandb': rules.watching,
    'logging.wandb_project': leaves_out('set init_kwargs=dict(project=...) of WandbVisBackend'),
    'logging.use_swanlab': leaves_out('SwanLab is not available; TensorBoard and W&B are'),
    'logging.use_logfire': leaves_out('Logfire is not available; TensorBoard and W&B are'),
}
"""By dotted key."""

SILENT = (
    *(
        'task',
        'model',
        'dist',
        'find_unused_parameters',
        'use_static_graph',
        'scale',
        'runtime.*',
        'val.*',
        'logging.*',
    ),
    *(
        'datasets.test.*',
        'datasets.train.name',
        'datasets.train.dataset_type',
        'datasets.train.scale',
        'datasets.train.test_mode',
    ),
    *('datasets.train.dataroot_*', 'datasets.train.spike*', 'datasets.train.tfp_*', 'datasets.train.meta_info_file'),
    *('datasets.train.filename_tmpl', 'datasets.train.input_pack_mode', 'datasets.train.compat.*'),
    *('datasets.train.keep_legacy_l', 'datasets.train.in_memory_*', 'datasets.train.dataloader_epoch_repeat'),
    *('netG.in_chans', 'netG.input*', 'netG.concat*', 'netG.fusion.*', 'netG.restoration_reducer.*', 'netG.sgp_*'),
    *('netG.spike_encoder.*', 'netG.init_*', 'netG.optical_flow.params*', 'netG.pa_fuse_amp_policy'),
    *('train.G_optimizer_*', 'train.G_scheduler_*', 'train.fix_keys', 'train.*_param_strict', 'train.amp.*'),
    *('train.partial_load', 'train.phase2_*', 'train.lora_*', 'train.fusion_warmup.*', 'train.timing.*'),
    *('train.profiler.*', 'train.compile.*'),
)
"""Patterns of keys without a rule of their own that need no word: rules of other keys read them, or they set parts that
those rules have left out."""
