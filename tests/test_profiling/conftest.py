import pytest
from planted import PlantedClock


@pytest.fixture
def clock():
    return PlantedClock()
