"""VRT for x4 super-resolution of bicubically reduced video, trained on 6 frames of REDS.

Published on REDS4: 31.60 dB PSNR, 0.8888 SSIM.
The released weights are under CC BY-NC.

python tools/restore.py configs/vrt/001_vrt_videosr_bi_reds_6frames.py CHECKPOINT --blur FRAMES --out RESTORED

This config has no data and no schedule for training.
"""

_base_ = '../_base_/models/vrt_super_resolution.py'
default_scope = 'vrtspike'
