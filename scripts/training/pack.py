"""The whole builtin pack, model after model (`python -m scripts.training.pack [MODEL ...]`).

Every model is one command with its own checkpoints, so this may be stopped and started again at any time.
"""

import argparse
import subprocess
import sys

# Landmarks come before what is cut out by them, trunks before what starts from them.
MODELS = ("detect", "landmarks", "embed", "attributes", "age_gender", "liveness", "parsing", "dewater")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=MODELS, help="all when none is named")
    for model in parser.parse_args().models:
        subprocess.run([sys.executable, "-m", f"scripts.training.{model}"], check=True)


if __name__ == "__main__":
    main()
