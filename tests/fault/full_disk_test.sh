#!/usr/bin/env bash
# A disk that fills up during a run: a clear message, exit status 1, nothing lost. After room was
# made, --resume ends with the bits of a run that never met the problem. Needs root (a small tmpfs).
#   full_disk_test.sh PROGRAM
set -euo pipefail
program=$1
work=$(mktemp -d)
disk=$work/disk
mkdir "$disk"
if ! mount -t tmpfs -o size=1m tmpfs "$disk" 2> /dev/null; then
  rm -rf "$work"
  echo "skipped: cannot mount a small disk here"
  exit 77
fi
trap 'umount -l "$disk"; rm -rf "$work"' EXIT
recipe=(model.hidden_size=64 model.heads=2 model.intermediate_size=128 train.steps=12 train.save_every=3)
. "$(dirname "$0")/tiny_run.sh"


train "$work/whole"
failures=0
# Room for a little more each time: every write of the run meets the full disk once.
for size in $(seq 64 96 4000); do
  mount -o "remount,size=${size}k" "$disk"
  status=0
  train "$disk/run" --resume 2> "$work/err" || status=$?
  [ "$status" -eq 0 ] && break
  failures=$((failures + 1))
  [ "$status" -eq 1 ] || { echo "exit status $status with ${size} KiB"; cat "$work/err"; exit 1; }
  grep -q "No space left on device" "$work/err" || { echo "no clear message:"; cat "$work/err"; exit 1; }
  grep -q "/disk/run" "$work/err" || { echo "the message names no file:"; cat "$work/err"; exit 1; }
  if compgen -G "$disk/run/checkpoints/.*tmp*" > /dev/null; then echo "half-written files are left"; exit 1; fi
done
[ "$failures" -ge 5 ] || { echo "the disk was full only $failures times"; exit 1; }
cmp "$work/whole/model.safetensors" "$disk/run/model.safetensors"
echo "full $failures times, then the same bits"
