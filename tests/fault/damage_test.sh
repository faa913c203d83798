#!/usr/bin/env bash
# Truncated and bit-flipped files: a damaged checkpoint is reported and the one before is taken, with
# the same bits in the end; a damaged model is refused with the name of the file.
#   damage_test.sh PROGRAM
set -euo pipefail
program=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
recipe=(train.steps=12 train.save_every=4)
. "$(dirname "$0")/tiny_run.sh"

# damage FILE KIND: flips one bit in the middle, or cuts the file.
damage() {
  local size middle byte
  size=$(stat -c %s "$1")
  middle=$((size * (RANDOM % 90 + 5) / 100))
  if [ "$2" = cut ]; then
    truncate -s "$middle" "$1"
  else
    byte=$(od -An -tu1 -j "$middle" -N 1 "$1" | tr -d ' ')
    # shellcheck disable=SC2059  # the format is the byte
    printf "\\x$(printf %02x $((byte ^ 16)))" | dd of="$1" bs=1 seek="$middle" conv=notrunc status=none
  fi
}

train "$work/whole"
cases=0
for file in model.safetensors optimizer.safetensors state.json manifest.json; do
  for kind in flip cut; do
    rm -rf "$work/run"
    cp -r "$work/whole" "$work/run"
    rm "$work/run/stepstone.json"  # as if killed before the end
    rm "$work/run"/*.json "$work/run/model.safetensors"
    damage "$work/run/checkpoints/step-00000008/$file" "$kind"
    train "$work/run" --resume 2> "$work/err"
    grep -q "skipping a damaged checkpoint: .*step-00000008" "$work/err" ||
      { echo "$file $kind: not noticed"; cat "$work/err"; exit 1; }
    cmp "$work/whole/model.safetensors" "$work/run/model.safetensors"
    cases=$((cases + 1))
  done
done

for file in config.json model.safetensors tokenizer.json tokenizer_config.json generation_config.json \
  stepstone.json; do
  for kind in flip cut; do
    rm -rf "$work/model"
    cp -r "$work/whole" "$work/model"
    damage "$work/model/$file" "$kind"
    status=0
    "$program" generate -m "$work/model" -p x -n 1 > "$work/out" 2> "$work/err" || status=$?
    # A flipped bit inside a free text of stepstone.json changes no behaviour.
    if [ "$file" = stepstone.json ] && [ "$status" -eq 0 ]; then continue; fi
    [ "$status" -eq 1 ] || { echo "$file $kind: exit status $status"; cat "$work/err"; exit 1; }
    grep -qE "$file|stepstone.json" "$work/err" ||
      { echo "$file $kind: the message names no file"; cat "$work/err"; exit 1; }
    cases=$((cases + 1))
  done
done
echo "$cases damaged files, each noticed"
