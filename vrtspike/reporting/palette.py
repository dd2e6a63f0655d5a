"""The colours of all pictures. What a colour means is the same in every panel of a picture.

A stage that costs much has a colour of its own, the others share a grey; phases are shades of it. Curves of the whole
run are dark grey, what is wrong is vermilion. In a comparison, colours stand for the runs. The colours are those of
Okabe and Ito (https://jfly.uni-koeln.de/color/) and one of Tol (https://sronpersonalpages.nl/~pault/), which
colour-blind people can tell apart.
"""

from __future__ import annotations

from collections.abc import Iterable

INK, GREY, PALE, GRID = '#30343b', '#8a9099', '#c3c7cd', '#e4e7ea'
STAGE_COLOURS = ('#0072B2', '#E69F00', '#009E73', '#CC79A7', '#56B4E9', '#882255')
OTHER_STAGES = '#b4b9bf'
ALERT = '#D55E00'
RUN_COLOURS = ('#6b7480', '#0072B2')
#: How much white is mixed into a colour for each phase.
PHASE_WHITE = {'forward': 0.0, 'recompute': 0.35, 'backward': 0.6}


def stage_colours(costliest_first: Iterable[str]) -> dict[str, str]:
    """Return the colours of the stages that have one of their own; all others are drawn in ``OTHER_STAGES``."""
    return dict(zip(costliest_first, STAGE_COLOURS, strict=False))


def lighter(colour: str, white: float) -> str:
    """Return a colour such as ``'#0072B2'`` with a fraction of white mixed in."""
    channels = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return '#' + ''.join(f'{round(channel + (255 - channel) * white):02x}' for channel in channels)
