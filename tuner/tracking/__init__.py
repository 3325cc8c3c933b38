"""The MLflow mirror of searches: what is logged, where, and the page that shows it."""

from tuner.tracking.masking import mask, printable
from tuner.tracking.tracker import Tracker
from tuner.tracking.webpage import ui

__all__ = ["Tracker", "mask", "printable", "ui"]
