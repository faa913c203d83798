#!/usr/bin/env bash
# Deterministic resume: a run killed with SIGKILL at random moments, at least 5 of them inside a
# save, and resumed each time ends with the weights and losses of the run that was never killed,
# bit for bit; so does a run on another number of threads.
#   resume_test.sh PROGRAM [KILLS]
set -euo pipefail
program=$1
kills_wanted=${2:-20}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
recipe=(model.layers=2 model.hidden_size=64 model.heads=2 model.intermediate_size=128 model.dropout=0.1
  tokenizer.kind=bpe tokenizer.vocab_size=400 data.val_tokens=2048 train.context=64 train.rows=4
  train.steps=120 train.save_every=2 train.eval_every=40 train.log_every=1 train.ema=0.9 optim.warmup=5)
. "$(dirname "$0")/tiny_run.sh"

losses() {  # step and losses of a log, without times
  sed -E 's/.*"loss":([^,}]*).*"step":([0-9]+).*/\2 \1/; s/"(tok_per_sec|mfu|train_seconds)":[^,}]*,?//g' \
    "$1/log.jsonl"
}

train "$work/whole" -t 2
train "$work/one" -t 1
cmp "$work/whole/model.safetensors" "$work/one/model.safetensors"
diff <(losses "$work/whole") <(losses "$work/one")
echo "1 and 2 threads: the same bits"

kills=0 inside=0 runs=0
while true; do
  runs=$((runs + 1))
  [ "$runs" -le 400 ] || { echo "400 runs and still only $kills kills, $inside inside a save"; exit 1; }
  train_command "$work/killed" -t 2 --resume
  "${command[@]}" 2> "$work/err" &
  pid=$!
  if [ "$kills" -lt "$kills_wanted" ] || [ "$inside" -lt 5 ]; then
    sleep "0.$(printf '%03d' $((RANDOM % 400 + 20)))"
    if kill -9 "$pid" 2> /dev/null; then
      wait "$pid" 2> /dev/null || true
      kills=$((kills + 1))
      if compgen -G "$work/killed/checkpoints/.*step*" > /dev/null; then inside=$((inside + 1)); fi
      continue
    fi
  fi
  status=0
  wait "$pid" || status=$?
  [ "$status" -eq 0 ] || { echo "resuming failed:"; cat "$work/err"; exit 1; }
  if [ "$kills" -ge "$kills_wanted" ] && [ "$inside" -ge 5 ]; then break; fi
  # It came to its end before enough kills: once more from the start.
  cmp "$work/whole/model.safetensors" "$work/killed/model.safetensors"
  rm -rf "$work/killed"
done
cmp "$work/whole/model.safetensors" "$work/killed/model.safetensors"
diff <(losses "$work/whole") <(losses "$work/killed")
echo "$kills kills, $inside of them inside a save: the same bits"
