#!/bin/bash
# Files that are none, outputs in folders that are not there yet, and archives that unfold without end.
. "$(dirname "$0")/lib.sh"

# Nothing waits for a pipe's writer, and no device is read or replaced.
mkfifo "$work/pipe.txt" "$work/pipe.jsonl" "$work/pipe.toml" "$work/pipe.gguf" "$work/pipe.zst"
cp -r "$tiny" "$work/model"
rm "$work/model/model.safetensors" "$work/model/stepstone.json"
mkfifo "$work/model/model.safetensors"
refused() { status "$@"; says 'is a named pipe, not a file' err; }
stepstone_program=$stepstone
stepstone=$work/limited
printf '#!/bin/sh\nexec timeout 10 "%s" "$@"\n' "$stepstone_program" >"$stepstone"
chmod +x "$stepstone"
refused 1 data stats "$work/pipe.txt"
refused 1 data stats "$work/pipe.jsonl"
refused 1 tokenizer train "$work/pipe.txt" -o "$work/t.json"
refused 1 train "$work/pipe.toml" --data "$source/README.md" -o "$work/run"
refused 1 train "$source/recipes/base.toml" --data "$work/pipe.txt" -o "$work/run" -q
refused 1 speedrun --corpus "$work/pipe.txt" -o "$work/speedrun" -q
printf ' \n' >"$work/blank.txt"
echo text >"$work/some.txt"
status 2 speedrun -o "$work/speedrun" -q --corpus "$work/some.txt" "$work/blank.txt"
says 'blank.txt: the corpus is empty' err
[ ! -e "$work/speedrun" ] || fail "a refused speedrun left a folder behind"
refused 1 generate -m "$work/model" -p x
refused 1 generate -m "$tiny" -f "$work/pipe.txt"
refused 1 eval -m "$tiny" --data "$work/pipe.txt"
status 2 generate -m "$work/pipe.gguf" -p x
says 'is neither a file nor a folder' err
status 1 generate -m "$tiny" -f /dev/zero
says 'is a device, not a file' err
status 1 export -m "$tiny" -o /dev/null
says '/dev/null: is a pipe or a device' err
[ -c /dev/null ] || fail "/dev/null was replaced"

# Standard input is read where a text is asked for.
printf 'Once upon' | "$stepstone" generate -m "$tiny" -f - -n 9 --temp 0 >"$work/piped"
"$stepstone" generate -m "$tiny" -f <(printf 'Once upon') -n 9 --temp 0 >"$work/given"
status 0 generate -m "$tiny" -p 'Once upon' -n 9 --temp 0
cmp -s "$work/piped" "$work/out" || fail "-f - gave another text"
cmp -s "$work/given" "$work/out" || fail "-f <(…) gave another text"

# Folders above an output are made.
for i in $(seq 60); do echo "the cat number $i sat on the mat"; done >"$work/corpus.txt"
status 0 data synth -n 3 -o "$work/new1/a/x.jsonl"
status 0 tokenizer train "$work/corpus.txt" --vocab-size 270 -o "$work/new2/a/t"
status 0 tokenizer train "$work/corpus.txt" --vocab-size 270 -o "$work/new3/a/tokenizer.json"
status 0 data tokenize "$work/corpus.txt" --tokenizer "$tiny" -o "$work/new4/a/shards"
status 0 export -m "$tiny" -o "$work/new5/a/m.gguf"
status 0 export -m "$tiny" -o "$work/new6/a/m" --format hf
status 0 import "$work/new5/a/m.gguf" -o "$work/new7/a/m"
status 0 quantize "$tiny" "$work/new8/a/m.gguf" Q8_0
printf 'hello\n/save %s\n' "$work/new9/a/chat.jsonl" | "$stepstone" chat -m "$tiny" -n 3 >"$work/out" 2>&1
[ -s "$work/new9/a/chat.jsonl" ] || fail "/save made no folder"
status 1 data synth -n 3 -o "$work/corpus.txt/a/x.jsonl"

# A bomb is refused before it has cost memory.
python3 - "$work/bomb.txt.gz" <<'PY'
import sys, zlib
bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
with open(sys.argv[1], "wb") as file:
    for _ in range(300):
        file.write(bomb.compress(b"a" * 1000000))
    file.write(bomb.flush())
PY
limit=800000
(ulimit -v $limit; "$stepstone" --version) >/dev/null 2>&1 || limit=unlimited  # under AddressSanitizer
for verb in 'data stats' "tokenizer train -o $work/x.json"; do
  # shellcheck disable=SC2086
  (ulimit -v $limit; "$stepstone" $verb "$work/bomb.txt.gz" >"$work/out" 2>"$work/err")
  [ $? = 1 ] || fail "a bomb for $verb was not refused"
  says 'unfolds more than 1000 times' err
done
finish
