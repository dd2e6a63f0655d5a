r"""VRT for video deblurring, trained on DVD.

Published: 34.27 dB PSNR, 0.9651 SSIM. The released weights are under CC BY-NC.

python tools/train.py configs/vrt/005_vrt_videodeblurring_dvd.py \
    --cfg-options data.type=ProcessedClips data.root=/path/to/dvd

The folder holds {train,val}/SEQUENCE/{blur,sharp}/FRAME.png; spikes are not needed.
"""

_base_ = '../_base_/vrt_deblur.py'
