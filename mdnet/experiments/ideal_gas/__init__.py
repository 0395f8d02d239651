"""SGD of scale-invariant networks as an ideal gas: p V = (D - 1)/2 T by three protocols, on a toy and on digits."""
