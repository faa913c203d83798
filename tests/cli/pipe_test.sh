#!/bin/bash
# Outputs that nobody reads any more, and runs that are stopped.
. "$(dirname "$0")/lib.sh"

# unread WHAT…: runs the program with WHAT; standard output is a pipe whose reader has gone.
unread() {
  rm -f "$work/gone"
  mkfifo "$work/gone"
  (exec 3<"$work/gone") &  # opens, and goes
  exec 4>"$work/gone"
  wait $!
  timeout 60 "$stepstone" "$@" >&4 2>"$work/err" </dev/null
  got=$?
  exec 4>&-
}

echo text >"$work/data.txt"
# Where the output is the result: quiet, and soon.
for verb in "generate -m $tiny -p x -n 100000000 --ignore-eos" \
  "generate -m $tiny -p x -n 100000000 --ignore-eos --json" \
  "tokenizer info -m $tiny" "runs ls" "tokenizer encode -m $tiny -p hello --pieces" \
  "data stats $work/data.txt" "eval -m $tiny --task copy --lang en -n 1" "--help"; do
  # shellcheck disable=SC2086
  unread $verb
  [ "$got" = 1 ] || fail "$verb: exit status $got with a closed output"
  [ ! -s "$work/err" ] || fail "$verb: complains of a closed output: $(head -2 "$work/err")"
done

# Where it is only progress: training goes on to its end.
"$stepstone" data synth -o "$work/text.jsonl" -n 400 2>/dev/null
train=(train "$source/recipes/base.toml" model.depth=1 tokenizer.kind=bytes train.rows=2
  train.context=32 train.log_every=1 train.eval_every=0)
"$stepstone" "${train[@]}" train.steps=200 --data "$work/text.jsonl" -o "$work/unheard" 2>&1 | head -1 >/dev/null
[ "${PIPESTATUS[0]}" = 0 ] || fail "train: exit status ${PIPESTATUS[0]} with a closed output"
[ -s "$work/unheard/model.safetensors" ] || fail "train with a closed output left no model"

# A signal stops it with a checkpoint, and the status tells which.
for signal in HUP:129 INT:130 TERM:143; do
  run=$work/${signal%:*}
  # A shell's background process has SIGINT ignored.
  python3 -c 'import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL); signal.signal(signal.SIGHUP, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])' "$stepstone" "${train[@]}" train.steps=1000000 \
    --data "$work/text.jsonl" -o "$run" -q &
  pid=$!
  for _ in $(seq 300); do [ -s "$run/log.jsonl" ] && break; sleep 0.1; done
  kill -s "${signal%:*}" "$pid"
  wait "$pid"
  got=$?
  [ "$got" = "${signal#*:}" ] || fail "SIG${signal%:*}: exit status $got"
  compgen -G "$run/checkpoints/step-*" >/dev/null || fail "SIG${signal%:*}: no checkpoint"
done
finish
