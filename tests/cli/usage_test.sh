#!/bin/bash
# Exit statuses, help and complaints of every verb.
. "$(dirname "$0")/lib.sh"

verbs=$("$stepstone" --help | sed -n '/^Subcommands:/,$p' | awk 'NR > 1 && /^  [a-z]/ {print $1}')
[ -n "$verbs" ] || fail "--help lists no verbs"
for verb in $verbs; do
  status 0 "$verb" --help
  says Usage out
  status 2 "$verb" --no-such-flag
done
status 2
status 2 genrate
says 'did you mean "generate"?' err
status 0 --version

status 2 generate -p hello
says model err
status 2 generate -m "$work/missing" -p hello
says missing err
mkdir "$work/empty"
status 2 generate -m "$work/empty" -p hello
says config.json err
status 1 generate -m "$tiny" -f "$work/no-file"
says no-file err
status 2 generate -m "$tiny" -p x -f y
for bad in '--temp -1' '--temp nan' '--top-p 0' '--top-k -5' '--min-p 2' '--repeat-penalty 0' \
  '-n -3' '--presence-penalty 9' '--temp x' '-c 0'; do
  # shellcheck disable=SC2086
  status 2 generate -m "$tiny" -p x $bad
done
# Numbers are what they look like, and nothing is given twice.
for bad in '-s -1' '-s 99999999999999999999999' '-s 1.5' '-s x' '--top-k 99999999999999999999' \
  '--temp inf' '-s 0x10'; do
  # shellcheck disable=SC2086
  status 2 generate -m "$tiny" -p x $bad
  says 'expected a' err
  says "${bad##* }" err
done
for twice in 'generate -m x -p x -s 1 -s 2' 'generate -m x --json --json' 'runs ls -n 1 -n 2' \
  'data synth -o x -o y' 'chat -m x -m y' '-t 1 -t 2 runs ls'; do
  # shellcheck disable=SC2086
  status 2 $twice
  says 'given more than once' err
done
status 2 generate -m
says '--model: needs a value' err
status 2 runs ls -n -1
status 2 data synth -o "$work/x.jsonl" -n 5 --seed -1
# Flags are named as they may have been typed; what is no number and what is too large are told apart.
status 2 data synth -o "$work/x.jsonl" -n -5
says '-n,--documents: Value -5 not in range 0 to 1099511627776' err
status 2 data synth -o "$work/x.jsonl" -n 99999999999999999999
says 'out of range: expected a whole number from -9223372036854775808 to 9223372036854775807, got "99999999999999999999"' err
status 2 generate -m "$tiny" -p x -s 99999999999999999999
says 'out of range: expected a whole number from 0 to 18446744073709551615, got' err
status 2 generate -m "$tiny" -p x --temp 1e999
says 'out of range: expected a number, got "1e999"' err
# The recipes of docs/recipes.md that show a list.
examples=$(sed -nE 's/^.*`((data\.weights|train\.batch_growth)=[^`]*)`.*$/\1/p' "$source/docs/recipes.md")
[ "$(wc -l <<<"$examples")" = 2 ] || fail "docs/recipes.md shows other lists: $examples"
for i in $(seq 60); do echo "the cat number $i sat on the mat"; done >"$work/one.txt"
sed 's/cat/dog/' "$work/one.txt" >"$work/two.txt"
# shellcheck disable=SC2046
STEPSTONE_HOME=$work/elsewhere status 0 train "$source/recipes/base.toml" model.depth=1 tokenizer.kind=bytes train.steps=3 train.context=16 \
  data.val_fraction=0.3 $examples --data "$work/one.txt" "$work/two.txt" -o "$work/lists" -q
status 2 tokenizer train "$source/README.md" -o "$work/x" --vocab-size 99999999999
says '--vocab-size: the number is out of range' err
status 2 tokenizer train "$source/README.md" -o "$work/x" --memory -5
status 0 generate -m "$tiny" -p x -n 010 --json
says '"new_tokens":10' out

# Values that leave nothing to do are refused, not taken in silence.
status 2 generate -m "$tiny" -p x --spec-draft-n-min 20 --spec-draft-n-max 4
says '--spec-draft-n-min 20 is more than --spec-draft-n-max 4' err
status 2 bench infer -m "$tiny" -p 0 -n 0
says 'nothing to measure' err
status 0 bench infer -m "$tiny" -p 0 -n 1 -r 1
# Asked for more context than there is: what is used is said.
status 0 generate -m "$tiny" -p x -n 1 -c 99999
says 'warning: -c 99999: the context has 4096 tokens' err
status 0 generate -m "$tiny" -p x -n 1 -c 64
grep -q warning "$work/err" && fail "a context that fits was warned of"
status 0 generate -m "$tiny" -p hello -n 0 --json
says '"prompt_tokens":5' out
# A server without its model binds no port.
for model in "$work/missing" "$work/empty" "name=$work/missing"; do
  status 2 serve -m "$tiny" -m "$model" --port 0
  grep -q listening "$work/out" && fail "serve listened before it looked for $model"
done
status 1 serve -m "$source/README.md" --port 0
says 'seems to be text' err
status 2 generate -m "$tiny" -p x --json-schema '{"properties": {"a": {"$ref": "#/b"}}}'
says 'schema: #/properties/a/$ref: "#/b" is not in the schema' err

# An override that changes nothing is refused by name, and so is one given twice.
train() { status 2 train "$source/recipes/$1" "${@:2}" --data "$work/none.txt" -o "$work/x" -q; }
train shakespeare-char.toml tokenizer.vocab_size=300
says 'tokenizer.vocab_size: has no effect' err
train shakespeare-char.toml model.depth=2
says 'model.depth: has no effect' err
train base.toml train.steps=5 train.steps=6
says 'train.steps: given twice' err
train base.toml model.family=gpt2 model.kv_heads=1
says 'model.kv_heads' err
for weights in '[-1]' '[0]' '[nan]' '[inf]'; do
  train base.toml "data.weights=$weights"
  says 'data.weights[0]: expected a number above 0' err
done
for key in model.depth=2 model.dropout=0.1 tokenizer.kind=bytes; do
  status 2 tune "$source/recipes/chat.toml" "$key" -m "$tiny" --data "$work/none.jsonl" -o "$work/x"
  says "${key%=*}: tuning takes" err
done
status 2 tune "$source/recipes/base.toml" -m "$tiny" --data "$work/none.jsonl" -o "$work/x"
says 'model.depth: tuning takes' err
[ ! -e "$work/x" ] || fail "a refused run left a folder behind"

status 2 eval -m "$tiny" --task no-such-task
says 'arithmetic' err
status 2 eval -m "$tiny" --task copy --lang fr
status 2 eval -m "$tiny" --data "$work/no-file"
status 2 runs show 1
status 2 tokenizer
status 1 tokenizer info -m "$work/no-file"

# A damaged model is refused with the name of the file.
cp -r "$tiny" "$work/damaged"
printf 'x' | dd of="$work/damaged/model.safetensors" bs=1 seek=5000 conv=notrunc 2>/dev/null
status 1 generate -m "$work/damaged" -p hello
says model.safetensors err

# A full disk is a failure, not a success with less text.
if [ -e /dev/full ]; then
  "$stepstone" generate -m "$tiny" -p hello -n 20 >/dev/full 2>"$work/err"
  [ $? = 1 ] || fail "generate to a full disk succeeded"
  says 'standard output' err
fi
finish
