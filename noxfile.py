"""The tests on every supported Python that is on the machine, each installed from its own lock.

pipx run nox --list
pipx run nox -s tests-3.12 -- -x
"""

from __future__ import annotations

import nox

PYTHONS = ("3.10", "3.11", "3.12", "3.13")

nox.options.error_on_missing_interpreters = False
nox.options.reuse_existing_virtualenvs = True


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Install the lock of this Python and run what `make test` runs; arguments after -- go to pytest."""
    # As scripts/setup.sh does: nothing is resolved, and no build backend but the locked one is fetched.
    session.install("--no-deps", "-r", f"requirements/py{str(session.python).replace('.', '')}.txt")
    session.install("--no-deps", "--no-build-isolation", "-e", ".")
    session.run("python", "-m", "pip", "check")
    session.run("python", "-m", "pytest", "@tests/quick.args", *session.posargs)
