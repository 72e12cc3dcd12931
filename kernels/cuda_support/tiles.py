"""How the work of a matrix product is cut: the only place of the cuda column with tuning numbers.

    a block     BM x BN outputs, BK terms of their sums at a time, all from shared memory
    a thread    TM x TN of them in registers, in groups of 4 x 4 that lie BM / (TM / 4) and BN / (TN / 4) apart
    a warp      WX threads side by side, 32 / WX one below the other

A thread reads TM + TN numbers of shared memory for TM TN multiply-adds: 8 x 16 needs 223 of 255 registers and leaves 90 %
of the instructions to the sums. Rows of the tile are pixels (forward) or taps (backward_weight), columns are filters.
`resident` is how many blocks a multiprocessor must be able to hold; it caps the registers of a thread.
"""
from dataclasses import dataclass


@dataclass(frozen=True)
class Tile:
    """One way to cut the work; the numbers of the module's text."""

    BM: int
    BN: int
    BK: int
    TM: int
    TN: int
    WX: int = 8
    resident: int = 1

    def __post_init__(self):
        across, down = self.BN // self.TN, self.BM // self.TM
        lanes = min(32, self.threads)
        fits = (self.BM % self.TM == self.BN % self.TN == self.TM % 4 == self.TN % 4 == self.BK % 4 == 0
                and across % self.WX == 0 and lanes % self.WX == 0 and down % (lanes // self.WX) == 0)
        if not fits:
            raise ValueError(f"a tile's parts do not fit into each other: {self}")

    @property
    def threads(self) -> int:
        return (self.BM // self.TM) * (self.BN // self.TN)

    @property
    def name(self) -> str:
        """As part of an identifier."""
        return f"{self.BM}x{self.BN}x{self.BK}"

    def constants(self) -> dict[str, int]:
        """As constants of a template."""
        return {"BM": self.BM, "BN": self.BN, "BK": self.BK, "TM": self.TM, "TN": self.TN, "TMN": self.TM * self.TN,
                "WX": self.WX, "WARPS_X": self.BN // self.TN // self.WX, "WY": min(32, self.threads) // self.WX,
                "GM": self.TM // 4, "GN": self.TN // 4, "APART_M": self.BM * 4 // self.TM, "APART_N": self.BN * 4 // self.TN}


def walk(threads: int, rows: int, columns: int, width: int) -> tuple[int, int, int, bool]:
    """How threads copy a tile of rows x columns, `width` numbers at a time: (per row, rows a pass, passes, whole).

    Thread t takes column t % per_row * width of row t // per_row, and again so many rows further down in each pass. Where
    not `whole`, some threads have no row in the last pass.
    """
    per_row = columns // width
    if threads % per_row:
        raise ValueError(f"{threads} threads cannot share rows of {columns} numbers, {width} at a time")
    step = threads // per_row
    return per_row, step, -(-rows // step), rows % step == 0


def width(extent: int) -> int:
    """Numbers a load takes along an axis: 4 where every row of the array starts on 16 bytes."""
    return 4 if extent % 4 == 0 else 1


# Columns that a block covers -> its tile, the widest first.
FORWARD = {
    256: Tile(128, 256, 8, 8, 16),
    128: Tile(128, 128, 16, 8, 8, resident=2),
    64: Tile(128, 64, 8, 8, 8, resident=3),
    32: Tile(128, 32, 8, 8, 4, resident=4),
    16: Tile(64, 16, 8, 4, 4, WX=4, resident=8),
}
FORWARD_FEW = {             # where the tiles above would leave most multiprocessors without a block
    64: Tile(64, 64, 8, 8, 4, resident=4),
    32: Tile(64, 32, 8, 4, 4, resident=4),
    16: Tile(64, 16, 8, 4, 4, WX=4, resident=8),
}
FIRST = {                   # pictures: BK is not used, all taps of a block's places are in shared memory at once
    64: Tile(128, 64, 4, 8, 8, resident=3),
    32: Tile(128, 32, 4, 8, 4, resident=4),
    16: Tile(128, 16, 4, 4, 4, WX=4, resident=4),
}
WEIGHT = {
    256: Tile(128, 256, 8, 8, 16),
    128: Tile(128, 128, 8, 8, 8, resident=2),
    64: Tile(128, 64, 8, 8, 8, resident=3),
    32: Tile(32, 32, 8, 4, 4, resident=4),
    16: Tile(32, 16, 8, 4, 4, WX=4, resident=8),
}
TURN = 32, 8                # side of a square of filters, and its rows that are copied at a time
THREADS = 256               # of kernels that only add, or clear
MULTIPROCESSORS = 132       # of an H100 or H200
ENOUGH_BLOCKS = 120         # a block for nearly each of them: then a narrower tile gains nothing
FIRST_TAPS = 75             # the most that conv2d_first_cuda.py takes: 5 x 5 x 3
SHARED_LIMIT = 47 * 1024    # bytes of a block: 48 KiB, less what the system takes
PART_STEPS = 32             # of backward_weight: a part of the places has this many steps of BK, or more
SUM_ROWS = 64               # of db: a part has this many rows for each thread, or more


def forward_tile(rows: int, columns: int) -> Tile:
    """The widest tile that makes enough blocks, or else a small one. The sums do not depend on it."""
    wide = by_columns(FORWARD, columns)
    for tile in FORWARD.values():
        if tile.BN <= wide.BN and blocks(tile, rows, columns) >= ENOUGH_BLOCKS:
            return tile
    return by_columns(FORWARD_FEW, columns)


def first_tile(taps: int, columns: int) -> Tile:
    """The widest whose taps fit into shared memory."""
    return by_columns({size: tile for size, tile in FIRST.items() if 4 * taps * (tile.BM + tile.BN) <= SHARED_LIMIT}, columns)


def weight_tile(taps: int, columns: int) -> Tile:
    """The widest that is not mostly empty, neither across nor down."""
    tile = by_columns(WEIGHT, columns)
    return tile if 2 * taps > tile.BM else by_columns(WEIGHT, min(columns, 32))


def weight_part(tile: Tile, pixels: int, taps: int, columns: int) -> int:
    """Places of a part of dw: so few that the parts fill the GPU twice, but no fewer than are worth a part."""
    parts = 2 * tile.resident * MULTIPROCESSORS // blocks(tile, taps, columns)
    return -(-max(-(-pixels // max(parts, 1)), PART_STEPS * tile.BK) // tile.BK) * tile.BK


def sums_part(threads: int, pixels: int, columns: int) -> int:
    """Places of a part of db: one part for each multiprocessor, but no fewer places than are worth a part."""
    return max(-(-pixels // MULTIPROCESSORS), SUM_ROWS * max(threads // columns, 1))


def by_columns(table: dict[int, Tile], columns: int) -> Tile:
    """The widest tile that is at least half full, or the narrowest there is."""
    return next(tile for size, tile in table.items() if 2 * columns > size or size == min(table))


def blocks(tile: Tile, rows: int, columns: int) -> int:
    """Blocks that cover rows x columns outputs."""
    return -(-rows // tile.BM) * -(-columns // tile.BN)
