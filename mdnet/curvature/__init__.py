"""How the energy bends: the Fisher (Gauss-Newton) matrix and the Hessian of a system, their spectra, sloppy modes."""

from mdnet.curvature.matrices import factors, gauss_newton, gauss_newton_matrix, hessian
from mdnet.curvature.spectra import (
    Product,
    Ritz,
    SpectralDensity,
    effective_parameters,
    lanczos,
    sloppy_share,
    spectral_density,
    spectrum,
    trace,
)

__all__ = [
    "Product",
    "Ritz",
    "SpectralDensity",
    "effective_parameters",
    "factors",
    "gauss_newton",
    "gauss_newton_matrix",
    "hessian",
    "lanczos",
    "sloppy_share",
    "spectral_density",
    "spectrum",
    "trace",
]
