"""VRT for x4 super-resolution of bicubically reduced video, trained on 16 frames of REDS.

Published on REDS4: 32.19 dB PSNR, 0.9006 SSIM.
The released weights are under CC BY-NC.

python tools/restore.py configs/vrt/002_vrt_videosr_bi_reds_16frames.py CHECKPOINT --blur FRAMES --out RESTORED

This config has no data and no schedule for training.
"""

_base_ = '../_base_/models/vrt_super_resolution.py'
default_scope = 'vrtspike'
model = dict(backbone=dict(img_size=[16, 64, 64], window_size=[8, 8, 8], pa_frames=6, deformable_groups=24))
