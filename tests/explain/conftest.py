import pytest

from anomech.auditor import Auditor


@pytest.fixture(scope="session")
def auditor(fashion):
    """Fitted on the shipped backdoored model."""
    task, trusted, _ = fashion
    return Auditor(task).fit(trusted)


@pytest.fixture(scope="session")
def triggered(fashion):
    """Four images with the trigger, a checkerboard of 4x4 pixels in the lower right corner."""
    _, _, inputs = fashion
    return inputs.x[inputs.anomalous][:4]
