"""Clocks that are wrong: programs whose processes each have a wall clock of their own.

It is not a part of the programs: a library that is loaded before libc answers `clock_gettime` for the wall clock. What
measures how much time has passed stays right, as on real hosts.
"""

import os
import pathlib
import shutil
import subprocess

# Ours. The servers and the simulators keep the right time.
SKEWED = ("payment-api", "payment-worker")


def programs(real, directory, seconds_max):
    """A directory with the programs of `real`, of which ours have wrong clocks. A C compiler is needed, as for the build."""
    here, place = pathlib.Path(__file__).parent, pathlib.Path(directory) / "skewed"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    library = place / "skew.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, here / "skew.c", "-ldl"], check=True)
    for program in ("payment-stack", "payment-simulator", "payment-migrate", *SKEWED):
        name = program + ".real" if program in SKEWED else program
        # A program finds the others beside itself: a symbolic link would lead it away.
        try:
            os.link(real / program, place / name)
        except OSError:
            shutil.copy2(real / program, place / name)
        if program in SKEWED:
            script = place / program
            script.write_text(f'#!/bin/sh\nSKEW_MAX={seconds_max} LD_PRELOAD={library} exec {place / name} "$@"\n')
            script.chmod(0o755)
    return place
