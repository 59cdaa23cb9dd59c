"""Writes two tables of atomic masses in the package periodictable as they stand there; runs where it is installed.

Each line of a table is about one nuclide, such as `92-U-238,238.0507869(16),,238.02891(3)`. A `#` after the mass says
that it was estimated, not measured.
"""

from pathlib import Path

from periodictable import mass, mass_2001  # type: ignore[import-not-found]

Path("masses_2020.csv").write_text(mass.isotope_mass, encoding="utf-8")
Path("masses_1995.csv").write_text(mass_2001.massdata, encoding="utf-8")
