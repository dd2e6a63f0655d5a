import itertools

import numpy as np
import pytest
from skimage.color import rgb2lab

from vrtspike.reporting.palette import ALERT, OTHER_STAGES, RUN_COLOURS, STAGE_COLOURS, lighter, stage_colours

# Machado, Oliveira and Fernandes (2009): how complete colour blindness changes linear RGB.
SIGHT = {
    'full': np.eye(3),
    'protanopia': [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    'deuteranopia': [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    'tritanopia': [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def seen(colour, sight):
    """CIELAB of a colour as seen by someone."""
    rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    changed = np.clip(np.asarray(SIGHT[sight]) @ linear, 0, 1)
    return rgb2lab(np.where(changed <= 0.0031308, changed * 12.92, 1.055 * changed ** (1 / 2.4) - 0.055))


@pytest.mark.parametrize('sight', SIGHT)
@pytest.mark.parametrize('colours', [(*STAGE_COLOURS, OTHER_STAGES), RUN_COLOURS], ids=['stages', 'runs'])
def test_colours_can_be_told_apart(colours, sight):
    """10 in CIELAB is a difference that is seen at a glance; 2.3 is one that is just seen."""
    distances = {
        (a, b): float(np.linalg.norm(seen(a, sight) - seen(b, sight))) for a, b in itertools.combinations(colours, 2)
    }
    assert min(distances.values()) > 10, min(distances, key=distances.get)


def test_what_is_wrong_has_no_stages_colour():
    assert ALERT not in (*STAGE_COLOURS, OTHER_STAGES, *RUN_COLOURS)


def test_the_costliest_stages_have_colours_of_their_own():
    colours = stage_colours(f'stage{i}' for i in range(9))
    assert list(colours) == [f'stage{i}' for i in range(len(STAGE_COLOURS))]
    assert len(set(colours.values())) == len(STAGE_COLOURS)


def test_lighter():
    assert [lighter('#0072B2', white) for white in (0, 0.5, 1)] == ['#0072b2', '#80b8d8', '#ffffff']
