r"""VRT for video deblurring, trained on REDS.

Published: 36.79 dB PSNR, 0.9648 SSIM. The released weights are under CC BY-NC.

python tools/train.py configs/vrt/007_vrt_videodeblurring_reds.py \
    --cfg-options data.type=ProcessedClips data.root=/path/to/reds

The folder holds {train,val}/SEQUENCE/{blur,sharp}/FRAME.png; spikes are not needed.
"""

_base_ = '../_base_/vrt_deblur.py'
