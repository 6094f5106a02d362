"pyright finds no error in irsde/ (settings: .ci/pyrightconfig.json). Needs node, and npm to bring pyright."
import os
import shutil
import subprocess
import sys
from pathlib import Path

from check_site import modules

HERE = Path(__file__).parent

def skipped(why):
    "Whether it may pass that no type was checked: not in continuous integration"
    print(f'SKIPPED: the types were not checked, {why}')
    return not os.environ.get('CI')

def main():
    "Whether the types hold"
    if not shutil.which('node'): return skipped('as node is not on the PATH')
    found = modules()
    if found is None: return skipped('as npm could not bring pyright')
    command = ['node', found/'pyright'/'index.js', '-p', HERE/'pyrightconfig.json']
    return subprocess.run(command, cwd=HERE.parent).returncode == 0

if __name__ == '__main__': sys.exit(not main())
