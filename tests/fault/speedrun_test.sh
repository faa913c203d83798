#!/usr/bin/env bash
# A speedrun that is killed in each of its phases goes on from its newest checkpoint, with the number
# of steps that it chose at first; what a kill can lose is bounded.
#   speedrun_test.sh PROGRAM
set -euo pipefail
program=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export STEPSTONE_HOME=$work/home
run=$work/run

speedrun() { exec "$program" speedrun -o "$run" --minutes 0.5 --questions 1 "$@" > "$work/out" 2> "$work/err"; }

# kill_in PHASE FLAGS…: kills it when that phase has a checkpoint; $steps is what it had chosen.
kill_in() {
  local phase=$1 state
  shift
  (speedrun "$@") &
  local pid=$!
  for _ in $(seq 600); do
    compgen -G "$run/$phase/checkpoints/step-*/state.json" > /dev/null && break
    kill -0 "$pid" 2> /dev/null || { echo "$phase: ended without a checkpoint"; cat "$work/err"; exit 1; }
    sleep 0.1
  done
  kill -9 "$pid"
  wait "$pid" 2> /dev/null || true
  state=$(compgen -G "$run/$phase/checkpoints/step-*/state.json" | tail -1)
  steps=$(sed -nE 's/.*"steps": ([0-9]+).*/\1/p' "$state")
  [ "$steps" -gt 11 ] || { echo "$phase: $steps steps in $state"; exit 1; }
}
finished_steps() { sed -nE 's/^  "steps": ([0-9]+).*/\1/p' "$run/$1/stepstone.json"; }

kill_in base
base_steps=$steps
kill_in chat --resume
grep -qE 'resumed at step [0-9]+' "$work/err" || { echo "base: began again"; cat "$work/err"; exit 1; }
[ "$(finished_steps base)" = "$base_steps" ] ||
  { echo "base: $(finished_steps base) steps, $base_steps had been chosen"; exit 1; }
chat_steps=$steps
(speedrun --resume)
grep -q 'base: already finished' "$work/err" || { echo "base was trained again"; cat "$work/err"; exit 1; }
grep -qE 'resumed at step [0-9]+' "$work/err" || { echo "chat: began again"; cat "$work/err"; exit 1; }
[ "$(finished_steps chat)" = "$chat_steps" ] ||
  { echo "chat: $(finished_steps chat) steps, $chat_steps had been chosen"; exit 1; }
[ -s "$run/report.html" ]

for recipe in pretrain tune; do
  sed -nE 's/^save_minutes = ([0-9.]+)$/\1/p' "$run/$recipe.toml" | awk '$1 > 0 && $1 * 60 <= 30 {good = 1} END {exit !good}' ||
    { echo "$recipe.toml: a kill may lose more than half a minute"; exit 1; }
done
echo "killed twice: $base_steps and $chat_steps steps, as chosen at first"
