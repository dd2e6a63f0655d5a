"""VRT for x4 super-resolution of bicubically reduced video, trained on Vimeo-90K.

Published on Vimeo-90K-T: 38.20 dB PSNR, 0.9530 SSIM (luma).
The released weights are under CC BY-NC.

python tools/restore.py configs/vrt/003_vrt_videosr_bi_vimeo_7frames.py CHECKPOINT --blur FRAMES --out RESTORED

This config has no data and no schedule for training.
"""

_base_ = '../_base_/models/vrt_super_resolution.py'
default_scope = 'vrtspike'
model = dict(backbone=dict(img_size=[8, 64, 64], window_size=[8, 8, 8], pa_frames=4, deformable_groups=16))
