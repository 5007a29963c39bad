"""The activation store: what frozen layers compute is computed once, for all epochs, seeds and runs that share it."""

from tl_run.features.nothing import Nothing as Nothing
from tl_run.features.reuse import Reuse as Reuse
from tl_run.features.reuse import make as make
