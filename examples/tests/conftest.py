"""Lets the examples' tests import the examples by their own names, as a project's tests would."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
