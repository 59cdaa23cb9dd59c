"""Start a Python program with packages that only it sees: what it starts in turn has those of the task."""

import runpy
import site
import sys

packages, program, *arguments = sys.argv[1:]
sys.path.insert(0, packages)
site.addsitedir(packages)
sys.argv = [program, *arguments]
runpy.run_path(program, run_name="__main__")
