#!/bin/bash
# generate, eval and tokenizer on a tiny model.
. "$(dirname "$0")/lib.sh"

status 0 generate -m "$tiny" -p 'Once upon' -n 40 --temp 2 -s 7
cp "$work/out" "$work/first"
[ -s "$work/first" ] || fail "no text"
status 0 generate -m "$tiny" -p 'Once upon' -n 40 --temp 2 -s 7
cmp -s "$work/out" "$work/first" || fail "the same seed gave another text"
status 0 -t 1 generate -m "$tiny" -p 'Once upon' -n 40 --temp 2 -s 7
cmp -s "$work/out" "$work/first" || fail "one thread gave another text"
status 0 generate -m "$tiny" -p 'Once upon' -n 40 --temp 2 -s 8
cmp -s "$work/out" "$work/first" && fail "another seed gave the same text"

# The prompt is printed only with --echo.
status 0 generate -m "$tiny" -p 'Once upon' -n 40 --temp 2 -s 7 --echo
{ printf 'Once upon'; cat "$work/first"; } | cmp -s - "$work/out" || fail "--echo"
printf 'Once upon' >"$work/prompt.txt"
status 0 generate -m "$tiny" -f "$work/prompt.txt" -n 40 --temp 2 -s 7
cmp -s "$work/out" "$work/first" || fail "-f gave another text than -p"

# A stop string ends the text before it.
stop=$(LC_ALL=C grep -ao '[!-~]' "$work/first" | sed -n 5p)
status 0 generate -m "$tiny" -p 'Once upon' -n 40 --temp 2 -s 7 --stop "$stop" --json
says '"stopped_by":"stop_string"' out
status 2 generate -m "$tiny" -p x --stop $'\xe4\xbd'
# More than the context holds.
status 0 generate -m "$tiny" -p x -c 128 -n 400 --temp 0 --ignore-eos --json
says '"new_tokens":400' out
says 'forgotten' err
# Strange prompts.
status 0 generate -m "$tiny" -p $'<|im_end|> \x1b[2J' -n 5
status 1 generate -m "$tiny" -p $'ab\xff' -n 5
says '--prompt: text (byte 2): is not valid UTF-8' err
printf '\xef\xbb\xbfab\xff' >"$work/bad.txt"
status 1 generate -m "$tiny" -f "$work/bad.txt" -n 5
says "$work/bad.txt: text (byte 5): is not valid UTF-8" err
for flags in '' '--mode windows' --perplexity; do
  # shellcheck disable=SC2086
  status 1 eval -m "$tiny" --data "$work/bad.txt" $flags
  says "$work/bad.txt: text (byte 5): is not valid UTF-8" err
done
status 0 generate -m "$tiny" -p '' -n 5
status 0 generate -m "$tiny" -n 0 -p x

status 0 generate -m "$tiny" -p x -n 200 -j '{"type": "array", "items": {"type": "boolean"}, "maxItems": 3}'
python3 -c 'import json, sys; assert isinstance(json.load(open(sys.argv[1])), list)' "$work/out" || fail "no JSON array"
status 0 generate -m "$tiny" -p x -n 9 --regex '[0-9]{4}-[0-9]{2}'
grep -qxE '[0-9]{4}-[0-9]{2}' "$work/out" || fail "not what the regular expression says"
status 2 generate -m "$tiny" -p x --grammar 'root ::= root'
says 'rule "root" can begin with itself' err
status 2 generate -m "$tiny" -p x -j '{"properties": {"a": {"not": {}}}}'
says '#/properties/a: "not" is not supported here' err
status 1 generate -m "$tiny" -p x --grammar-file "$work/none.gbnf"
status 0 eval -m "$tiny" --task copy arithmetic --lang en -n 3 --json
says '"total":3' out
printf 'Some text to measure.\n' >"$work/text.txt"
status 0 eval -m "$tiny" --data "$work/text.txt" --json
says '"bits_per_byte":' out
status 0 eval -m "$tiny" --data "$work/text.txt"
says 'bits/byte' out

# Keys and values in less precision: another text than in full, the same on any number of threads.
status 0 generate -m "$tiny" -p 'Once upon' -n 40 --temp 2 -s 7 -ctk q8_0 -ctv q8_0
cp "$work/out" "$work/rounded"
status 0 -t 1 generate -m "$tiny" -p 'Once upon' -n 40 --temp 2 -s 7 --cache-type-k q8_0 --cache-type-v Q8_0
cmp -s "$work/out" "$work/rounded" || fail "one thread gave another text"
status 0 generate -m "$tiny" -p x -n 5 -ctk bf16
status 0 eval -m "$tiny" --data "$work/text.txt" -ctv f16
status 0 bench infer -m "$tiny" -p 8 -n 8 -d 16 -r 1 -ctk q8_0
says 'tg8 @ d16' out
status 2 generate -m "$tiny" -p x -ctk q4_0

status 0 tokenizer encode -m "$tiny" -p 'hi<|im_end|>'
says '104 105 60 124' out
status 0 tokenizer encode -m "$tiny" -p 'hi<|im_end|>' --control
says '104 105 258' out
status 0 tokenizer decode -m "$tiny" 104 105
[ "$(cat "$work/out")" = hi ] || fail "decode"
status 2 tokenizer decode -m "$tiny" 104 x
status 0 tokenizer info -m "$tiny"
says '<|im_end|>' out
for i in $(seq 200); do echo "the cat number $i sat on the mat"; done >"$work/corpus.txt"
status 0 tokenizer train "$work/corpus.txt" --vocab-size 300 -o "$work/bpe"
status 0 tokenizer encode -m "$work/bpe" -p 'the cat sat' --json
cp "$work/out" "$work/ids"
status 0 tokenizer info -m "$work/bpe" --json
says '"vocab_size":300' out
"$stepstone" tokenizer encode -m "$work/bpe" <"$work/corpus.txt" |
  "$stepstone" tokenizer decode -m "$work/bpe" | cmp -s - "$work/corpus.txt" || fail "round trip"
status 2 tokenizer train "$work/corpus.txt" --vocab-size 300 --pattern gtp2 -o "$work/bpe2"
status 0 runs ls
status 0 runs ls --json
says '"runs":[]' out
finish
