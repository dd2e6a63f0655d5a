"""Names of points in a plot, placed where they cover neither each other nor what is drawn."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.text import Annotation, Text

from vrtspike.reporting.palette import GREY

XY = tuple[float, float]
#: Where a name may lie, seen from its point: distances in points, directions in degrees, the best first.
DISTANCES = (4, 9, 16, 25, 36, 50, 66, 84)
DIRECTIONS = (20, 0, -20, 160, 180, 200, 60, -60, 120, -120, 90, -90)
#: A name further away than this has a line to its point.
NEAR = 9
#: Half the width of what is kept free along a line, in points.
LINE_ROOM = 1.0
SIZE = 8


class PointLabels(Artist):
    """Writes names beside points whenever the figure is drawn, since only then the size of the plot is known.

    A name that fits nowhere is left out.

    Args:
        ax: The plot.
        names: Points that have a name, in data coordinates; the first find a place first.
        points: Other points to keep free.
        lines: Lines to keep free, each a sequence of corners; one corner is no line.
        room: Half the width of what is kept free around a point, in points.
    """

    def __init__(
        self,
        ax: Axes,
        names: Mapping[str, XY],
        points: Sequence[XY] = (),
        lines: Sequence[Sequence[XY]] = (),
        room: float = 3.0,
    ) -> None:
        super().__init__()
        self.names, self.points, self.lines, self.room = names, points, lines, room
        self.texts: list[Annotation] = []
        self.set_in_layout(False)
        self.set_zorder(4)
        ax.add_artist(self)

    def get_children(self) -> list[Artist]:
        return self.texts

    def draw(self, renderer) -> None:
        self.texts = self._placed(renderer)
        for text in self.texts:
            text.draw(renderer)

    def _placed(self, renderer) -> list[Annotation]:
        pixels = renderer.points_to_pixels(1.0)
        inside = self.axes.get_window_extent(renderer).extents
        taken = self._kept_free(pixels)
        placed = []
        for name, xy in self.names.items():
            text = self._annotation(name, xy)
            extent = Text.get_window_extent(text, renderer)  # that of an annotation has its line in it
            point = self.axes.transData.transform(xy)
            for offset in _offsets(extent.width / pixels, extent.height / pixels):
                box = _box(point + np.multiply(offset, pixels), extent.width / 2 + pixels, extent.height / 2 + pixels)
                if _within(box, inside) and not _overlaps(box, taken):
                    text.set_position(offset)
                    text.arrow_patch.set_visible(math.dist(_nearest(box, point), point) > NEAR * pixels)
                    taken = np.vstack([taken, box])
                    placed.append(text)
                    break
        return placed

    def _annotation(self, name: str, xy: XY) -> Annotation:
        line = {'arrowstyle': '-', 'color': GREY, 'linewidth': 0.6, 'shrinkA': 0, 'shrinkB': 2}
        text = Annotation(name, xy, (0, 0), textcoords='offset points', fontsize=SIZE, arrowprops=line)
        text.set(ha='center', va='center')
        text.set_figure(self.axes.figure)
        text.axes = self.axes
        return text

    def _kept_free(self, pixels: float) -> np.ndarray:
        """Return boxes (n, 4) around all points and along all lines."""
        points = [*self.names.values(), *self.points]
        centres = [(self.axes.transData.transform(points), self.room * pixels)]
        for line in (line for line in self.lines if len(line) > 1):
            corners = self.axes.transData.transform(line)
            along = [np.linspace(a, b, max(int(math.dist(a, b)), 2)) for a, b in itertools.pairwise(corners)]
            centres.append((np.concatenate(along), LINE_ROOM * pixels))
        return np.concatenate([np.hstack([xy - room, xy + room]) for xy, room in centres])


def _offsets(width: float, height: float) -> list[XY]:
    """Return where the centre of a text may lie, seen from its point, in points."""
    offsets = []
    for distance in DISTANCES:
        offsets += [(width / 2, distance + height / 2), (width / 2, -distance - height / 2)]  # begins above, or below
        for direction in DIRECTIONS:
            x, y = math.cos(math.radians(direction)), math.sin(math.radians(direction))
            # The nearest edge of the text is `distance` away, in either direction.
            offsets.append((x * (distance + width / 2), y * (distance + height / 2)))
    return offsets


def _box(centre: np.ndarray, half_width: float, half_height: float) -> np.ndarray:
    half = np.array([half_width, half_height])
    return np.concatenate([centre - half, centre + half])


def _within(box: np.ndarray, outer: np.ndarray) -> bool:
    return bool((box[:2] >= outer[:2]).all() and (box[2:] <= outer[2:]).all())


def _overlaps(box: np.ndarray, others: np.ndarray) -> bool:
    return bool(((box[:2] < others[:, 2:]) & (others[:, :2] < box[2:])).all(axis=1).any())


def _nearest(box: np.ndarray, point: np.ndarray) -> np.ndarray:
    return np.clip(point, box[:2], box[2:])
