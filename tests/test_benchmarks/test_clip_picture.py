"""The picture of the README is what its command draws."""

from pathlib import Path

import numpy as np
from clip_picture import panels
from PIL import Image

from vrtspike.reporting.clip_strip import clip_strip

SHIPPED = Path(__file__).parents[2] / 'docs/images/clip.png'


def test_the_picture_is_the_networks():
    drawn = clip_strip(panels(2))
    assert np.abs(drawn.astype(float) - np.asarray(Image.open(SHIPPED).convert('RGB'))).mean() < 0.5
