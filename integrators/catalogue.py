"""The named schemes, each one line with its reference."""

from __future__ import annotations

from integrators.schemes import Scheme, compose, scheme

VERLET = scheme("BAB", name="VERLET", reference="Swope, Andersen, Berens, Wilson, J. Chem. Phys. 76, 637 (1982)")

POSITION_VERLET = scheme(
    "ABA", name="POSITION_VERLET", reference="Tuckerman, Berne, Martyna, J. Chem. Phys. 97, 1990 (1992)"
)

LEAPFROG = Scheme(
    "LEAPFROG", (("A", 1.0), ("B", 1.0)), lead=0.5,
    reference="Hockney, Eastwood, Computer Simulation Using Particles (1981): VERLET's positions",
)  # fmt: skip

_XI = 0.1931833275037836
OMELYAN = scheme(
    "BABAB", B=(_XI, 1 - 2 * _XI, _XI), name="OMELYAN",
    reference="McLachlan, SIAM J. Sci. Comput. 16, 151 (1995); Omelyan, Mryglod, Folk, Phys. Rev. E 65, 056706 (2002)",
)  # fmt: skip

_W = 1 / (2 - 2 ** (1 / 3))
YOSHIDA4 = compose(
    VERLET, (_W, 1 - 2 * _W, _W), name="YOSHIDA4", order=4,
    reference="Yoshida, Phys. Lett. A 150, 262 (1990); Forest, Ruth, Physica D 43, 105 (1990)",
)  # fmt: skip

_S = 1 / (4 - 4 ** (1 / 3))
SUZUKI4 = compose(
    VERLET, (_S, _S, 1 - 4 * _S, _S, _S), name="SUZUKI4", order=4, reference="Suzuki, Phys. Lett. A 146, 319 (1990)"
)

_Y = (0.784513610477560, 0.235573213359357, -1.17767998417887)
YOSHIDA6 = compose(
    VERLET, (*_Y, 1 - 2 * sum(_Y), *reversed(_Y)), name="YOSHIDA6", order=6,
    reference="Yoshida, Phys. Lett. A 150, 262 (1990), solution A",
)  # fmt: skip

_B = (0.0829844064174052, 0.396309801498368, -0.0390563049223486)
_A = (0.245298957184271, 0.604872665711080)
_a3 = 0.5 - sum(_A)
BLANES_MOAN = scheme(
    "BABABABABABAB", name="BLANES_MOAN", order=4,
    A=(*_A, _a3, _a3, *reversed(_A)), B=(*_B, 1 - 2 * sum(_B), *reversed(_B)),
    reference="Blanes, Moan, J. Comput. Appl. Math. 142, 313 (2002), SRKN6b",
)  # fmt: skip

BAOAB = scheme("BAOAB", reference="Leimkuhler, Matthews, Appl. Math. Res. Express 2013, 34")
OBABO = scheme("OBABO", reference="Bussi, Parrinello, Phys. Rev. E 75, 056707 (2007)")
ABOBA = scheme("ABOBA", reference="Leimkuhler, Matthews, Appl. Math. Res. Express 2013, 34")
OABAO = scheme("OABAO", reference="Leimkuhler, Matthews, Appl. Math. Res. Express 2013, 34")

SCHEMES: dict[str, Scheme] = {
    each.name: each
    for each in (
        VERLET, POSITION_VERLET, LEAPFROG, OMELYAN, YOSHIDA4, SUZUKI4, BLANES_MOAN, YOSHIDA6,
        BAOAB, OBABO, ABOBA, OABAO,
    )
}  # fmt: skip
"""All of them by name."""
