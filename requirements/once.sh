#!/usr/bin/env bash
# once.sh MARK FILES… -- COMMAND…: run a command, but not again with the same contents of the same files.
set -euo pipefail
mark=$1 files=()
shift
while [ "$1" != -- ]; do files+=("$1"); shift; done
shift
digest() { { echo "$*"; find "${files[@]}" \( -name node_modules -o -name __pycache__ -o -name locales \) -prune -o -type f -print0 | sort -z | xargs -0 sha256sum; } | sha256sum; }
before=$(digest "$@")
if [ "$(cat "$mark" 2>/dev/null)" = "$before" ]; then
	echo "unchanged since it passed: $*"
	exit
fi
"$@"
echo "$before" >"$mark"
