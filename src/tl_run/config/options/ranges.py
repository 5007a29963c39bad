"""Numbers within bounds."""

from typing import Annotated

from tl_run.config.schema import Range

LARGEST = 2**32 - 1
"""Of whole numbers: what every library takes as a seed."""

Count = Annotated[int, Range(at_least=1, at_most=LARGEST)]
Whole = Annotated[int, Range(at_least=0, at_most=LARGEST)]
Share = Annotated[float, Range(above=0, below=1)]
Positive = Annotated[float, Range(above=0)]
NotNegative = Annotated[float, Range(at_least=0)]
