#!/bin/bash
# data tokenize, and training on what it made.
. "$(dirname "$0")/lib.sh"

for i in $(seq 300); do echo "{\"text\": \"the cat number $i sat on mat $((i * 7))\"}"; done >"$work/texts.jsonl"
cat >"$work/tiny.toml" <<'TOML'
[model]
layers = 1
hidden_size = 32
heads = 1
intermediate_size = 64
[train]
context = 32
rows = 2
steps = 4
eval_every = 2
save_every = 2
TOML
train() { status "$1" train "$work/tiny.toml" "${@:3}" -o "$work/$2" -q --json; }
status 0 tokenizer train "$work/texts.jsonl" --vocab-size 300 -o "$work/tok"

status 0 data tokenize "$work/texts.jsonl" --tokenizer "$work/tok" -o "$work/flat"
train 0 a --data "$work/flat"
cmp -s "$work/flat/tokenizer.json" "$work/a/tokenizer.json" || fail "the run has another tokenizer"
train 0 b data.mode=windows --data "$work/flat"

# The same documents for training and validation as from the texts: the same losses.
status 0 data tokenize "$work/texts.jsonl" --tokenizer "$work/tok" -o "$work/parts" --val-fraction 0.05
train 0 c --data "$work/parts"
sed 's/"train_seconds":[^,}]*//' "$work/out" >"$work/c.json"
train 0 d tokenizer.kind=file tokenizer.path="$work/tok" --data "$work/texts.jsonl"
sed 's/"train_seconds":[^,}]*//' "$work/out" | cmp -s - "$work/c.json" || fail "tokens and texts train differently"
cmp -s "$work/c/model.safetensors" "$work/d/model.safetensors" || fail "tokens and texts give different weights"
train 0 e 'data.weights=[1, 3]' --data "$work/parts" "$work/flat"
train 0 f --data "$work/flat" "$work/texts.jsonl"
train 0 a train.steps=6 --data "$work/flat" --resume
train 2 a train.steps=8 --data "$work/parts" --resume
says 'is not what the run' err

# Refused: another tokenizer, damage, and where texts are needed.
train 1 x tokenizer.kind=file tokenizer.path="$tiny" --data "$work/flat"
says 'another tokenizer' err
cp -r "$work/flat" "$work/damaged"
printf 'x' | dd of="$work/damaged/tokens-00000.shard" bs=1 seek=3000 conv=notrunc 2>/dev/null
train 1 y --data "$work/damaged"
says 'tokens-00000.shard' err
# So it is with the index, of tokens that are given and of those that a run made itself.
for index in "$work/parts/train/index.json" "$work/d/data/0/train/index.json"; do
  cp "$index" "$work/whole.json"
  sed -i 's/"format": "s/"format": "r/' "$index"
  if [ "$index" = "$work/parts/train/index.json" ]; then
    train 1 y2 --data "$work/parts"
  else
    train 1 d tokenizer.kind=file tokenizer.path="$work/tok" train.steps=6 --data "$work/texts.jsonl" --resume
  fi
  says "$index: hash: differs from manifest.json: the dataset is damaged" err
  cp "$work/whole.json" "$index"
done
rm "$work/damaged/tokenizer.json"
train 2 z --data "$work/damaged"
says 'tokenizer.kind=file' err
for verb in 'data stats' "tokenizer train -o $work/t"; do
  # shellcheck disable=SC2086
  status 2 $verb "$work/flat"
  says 'holds tokens' err
done
status 2 tune "$source/recipes/chat.toml" -m "$tiny" --data "$work/flat" -o "$work/w"
says 'holds tokens' err
train 2 big train.rows=1048576 train.context=4096 --data "$work/flat"
says 'lower train.rows' err
train 2 none --data "$work/no-such-file.txt"
[ ! -e "$work/none" ] || fail "a run without data left a folder"
finish
