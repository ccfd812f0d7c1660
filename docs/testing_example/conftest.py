"""No clocks and no dice: the same examples in every run, however slow the machine."""

from hypothesis import settings

settings.register_profile("gradients", deadline=None, derandomize=True, database=None)
settings.load_profile("gradients")
