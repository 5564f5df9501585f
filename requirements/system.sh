#!/usr/bin/env bash
# What the tests need of the system, installed where it is missing and may be: Chromium for the
# browser tests, FUSE and strace for the fault tests, wrk for the benchmark's, dovecot for those of IMAP:
# elsewhere those tests say what they lack. And faketime, for a database whose clock is set: without it, what it says is changed.
set -uo pipefail
missing=()
command -v chromium >/dev/null 2>&1 || missing+=(chromium)
command -v chromium-headless-shell >/dev/null 2>&1 || missing+=(chromium-headless-shell)
command -v fusermount3 >/dev/null 2>&1 || missing+=(fuse3)
command -v strace >/dev/null 2>&1 || missing+=(strace)
command -v faketime >/dev/null 2>&1 || missing+=(faketime)
command -v wrk >/dev/null 2>&1 || missing+=(wrk)
[ -x /usr/sbin/dovecot ] || missing+=(dovecot-imapd)
[ ${#missing[@]} -eq 0 ] && exit 0
if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" -ne 0 ]; then
  echo "setup: not here: ${missing[*]}; the tests that need them are skipped (as root on Debian: apt-get install ${missing[*]})"
  exit 0
fi
echo "setup: apt-get install ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
{ apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >/tmp/halflap-apt.log 2>&1 ||
  { echo "setup: apt-get failed; its log: /tmp/halflap-apt.log" >&2; tail -5 /tmp/halflap-apt.log >&2; }
exit 0
