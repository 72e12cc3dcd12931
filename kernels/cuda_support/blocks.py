"""Threads in a block, for the kernels whose time is the time of their memory: the only numbers of theirs to be tuned."""

ELEMENTS = 256              # element by element, four elements a thread
ROWS = 128                  # softmax and losses: a warp a row
SUMS = 256                  # sums of channels: as many channels side by side as fit, the rest of the threads below each other
SUM_ROWS = 32               # rows that a thread adds up, at least, before the work is cut into more parts
SUM_PARTS = 512             # parts, at most: enough to fill a GPU, few enough to be added up at once
