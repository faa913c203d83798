#!/bin/bash
# What training refuses, and what it says of a run's scores.
. "$(dirname "$0")/lib.sh"

# chats FILE ROLE TEXT: forty chats of a question and, unless ROLE is user, an answer.
chats() {
  for i in $(seq 40); do
    printf '{"messages":[{"role":"user","content":"question %s"},{"role":"%s","content":"%s"}]}\n' \
      "$i" "$2" "$3"
  done >"$1"
}
tune() { status "$1" tune "$source/recipes/chat.toml" train.steps=1 -m "$tiny" --data "$2" -o "$3" "${@:4}"; }

# Nothing to learn from: a loss of 0 would be the best of all.
chats "$work/asked.jsonl" user 'and another'
tune 1 "$work/asked.jsonl" "$work/tuned" -q
says "asked.jsonl: no token carries loss: no message of the role assistant" err
# The mended file is read anew, under the same name.
chats "$work/asked.jsonl" assistant yes
tune 0 "$work/asked.jsonl" "$work/tuned" --json
says '"val_bpb":' out
# Nothing to be measured by: the one chat with an answer is in the part that is learnt.
chats "$work/few.jsonl" user 'and another'
echo '{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}' >>"$work/few.jsonl"
tune 1 "$work/few.jsonl" "$work/unmeasured" data.val_fraction=0.3 -q
says "few.jsonl: in the part for validation no token carries loss: no message of the role assistant" err

# Empty answers are an end of turn to learn, and no byte of text.
chats "$work/empty.jsonl" assistant ''
tune 0 "$work/empty.jsonl" "$work/silent" --json
says '"val_loss":' out
says '| - bits per byte' err
for file in "$work/out" "$work/silent/log.jsonl" "$work/silent/stepstone.json"; do
  grep -q val_bpb "$file" && fail "$file has bits per byte of a text without bytes"
done
status 0 runs ls
grep -q 'val_bpb 0.0000' "$work/out" && fail "a run without bits per byte has 0 of them"
status 0 eval -m "$work/silent" --data "$work/empty.jsonl" --json
grep -q bits_per_byte "$work/out" && fail "eval has bits per byte of a text without bytes"
finish
