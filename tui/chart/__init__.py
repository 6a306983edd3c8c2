"""Charts without a terminal: columns that grow, what of them is seen, scales, and cells of braille. Pure functions."""
