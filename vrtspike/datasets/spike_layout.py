"""How spikes are stored in a file: the order of bits in a byte, of rows, and of an array's axes."""

from __future__ import annotations

from dataclasses import dataclass

from vrtspike.errors import ConfigError, did_you_mean

BIT_ORDERS = ('little', 'big')
AXES = ('THW', 'HWT')


@dataclass(frozen=True)
class SpikeLayout:
    """What a spike file does not say about itself. None is the rule of its format.

    Args:
        bit_order: Which bit of a byte is its first pixel: the least significant (``'little'``) or the most significant
            (``'big'``). Rule: little in raw files, big in packed arrays, as NumPy packs.
        flipped: Whether rows are stored bottom-up. Rule: they are in raw files, and not in arrays.
        axes: Axes of an array: ``'THW'`` for (steps, height, width), or ``'HWT'``. Rule: those that fit the sensor.

    Raises:
        ConfigError: A value is another one.
    """

    bit_order: str | None = None
    flipped: bool | None = None
    axes: str | None = None

    def __post_init__(self) -> None:
        for name, value, known in (('bit_order', self.bit_order, BIT_ORDERS), ('axes', self.axes, AXES)):
            if value not in (None, *known):
                raise ConfigError(
                    f'{name}={value!r} of spikes is unknown: expected {" or ".join(known)}'
                    f'{did_you_mean(str(value), known)}'
                )
        if self.flipped not in (None, True, False):
            raise ConfigError(f'flipped={self.flipped!r} of spikes is unknown: expected true or false')

    def raw(self) -> dict[str, str | bool]:
        """Return the bit order and the row order of a raw file, by name."""
        return {'bit_order': self.bit_order or 'little', 'flipped': self.flipped is not False}


#: Files are stored by the rules of their formats.
USUAL_LAYOUT = SpikeLayout()
