"""`make schema`: write this version's files below ./schema."""

import argparse
import sys
from pathlib import Path

from em_assets.errors import UsageError
from em_assets.schema import write

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--rewrite", action="store_true", help="replace a version that nobody uses yet")
try:
    sys.stdout.write(f"{write(Path('schema'), is_rewrite=parser.parse_args().rewrite)}\n")
except UsageError as error:
    sys.exit(f"em_assets.schema: {error}")
