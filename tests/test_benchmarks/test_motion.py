"""How far the scenes of the demo clips move."""

from benchmarks.motion import percentiles
from vrtspike.datasets.simulation.demo import DemoRecipe


def test_motion_scales_with_the_size_of_the_frames():
    small, large = (percentiles(DemoRecipe(size=size, frames=2), 'val', 1) for size in (32, 64))
    assert small['clips'] == 1
    assert 0 < small['p10_pixels'] < small['p50_pixels'] < small['p100_pixels']
    assert 1.6 < large['p50_pixels'] / small['p50_pixels'] < 2.4
