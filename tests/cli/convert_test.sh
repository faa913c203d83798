#!/bin/bash
# import, export and quantize: there and back, and what they refuse.
. "$(dirname "$0")/lib.sh"

greedy() { status 0 generate -m "$1" -p 'Once upon' -n 24 --temp 0; }

greedy "$tiny"
mv "$work/out" "$work/text"

# F32 there and back: the same weights, the same text.
status 0 export -m "$tiny" -o "$work/f32.gguf" --type f32
says 'bits per weight' out
greedy "$work/f32.gguf"
cmp -s "$work/out" "$work/text" || fail "the GGUF file generates another text"
status 0 import "$work/f32.gguf" -o "$work/back"
cmp -s "$work/back/model.safetensors" "$tiny/model.safetensors" || fail "weights changed on the way"
cmp -s "$work/back/chat_template.jinja" "$tiny/chat_template.jinja" || fail "another chat template"
greedy "$work/back"
cmp -s "$work/out" "$work/text" || fail "the imported folder generates another text"
says imported_from back/stepstone.json

# Smaller types, from a folder and from a GGUF file, come to the same bytes of tensors.
for type in BF16 Q8_0 Q4_K_M Q2_K MXFP4; do
  status 0 quantize "$tiny" "$work/a-$type.gguf" "$type"
  status 0 quantize "$work/f32.gguf" "$work/b-$type.gguf" "$type"
  status 0 generate -m "$work/a-$type.gguf" -p x -n 4 --temp 0
  mv "$work/out" "$work/text-$type"
  status 0 generate -m "$work/b-$type.gguf" -p x -n 4 --temp 0
  cmp -s "$work/out" "$work/text-$type" || fail "$type: folder and file give different models"
done
status 0 export -m "$tiny" -o "$work/hf" --format hf --type BF16
status 0 generate -m "$work/hf" -p x -n 4

# Refused, and nothing is left behind.
status 2 quantize "$tiny" "$work/x.gguf" Q4_K_X
says 'did you mean "Q4_K_' err
cp "$work/a-Q4_K_M.gguf" "$work/self.gguf"
status 2 quantize "$work/self.gguf" "$work/self.gguf" Q8_0
says 'is the model itself' err
cmp -s "$work/self.gguf" "$work/a-Q4_K_M.gguf" || fail "a refused quantize changed its model"
status 2 import "$tiny" -o "$work/back"
says exists err
status 2 import "$tiny" -o "$work/y" --type Q8_0
status 2 export -m "$tiny" -o "$work/y" --format onnx
head -c 3000 "$work/f32.gguf" >"$work/cut.gguf"
status 1 import "$work/cut.gguf" -o "$work/y"
says cut.gguf err
printf 'GGUX' >"$work/bad.gguf"
status 1 generate -m "$work/bad.gguf" -p x
says magic err

# Where rows do not fit, it is said which type they got and why.
status 0 quantize "$tiny" "$work/fallback.gguf" Q4_K_M
says 'tensors: F16 instead of Q4_K, because their rows of 48 values are not a multiple of 256' err
status 0 quantize "$tiny" "$work/no-fallback.gguf" F16
grep -q multiple "$work/err" && fail "F16 fits rows of any length"

# Folders above an output are made, and that is said.
status 0 export -m "$tiny" -o "$work/new/a/x.gguf"
says "note: made the folder $work/new" err
status 0 export -m "$tiny" -o "$work/new/b/y/" --format hf
says "note: made the folder $work/new/b" err
status 0 quantize "$tiny" "$work/new/z.gguf" Q8_0
grep -q 'made the folder' "$work/err" && fail "no folder was made"

# Weights that are no numbers are not passed on.
cp -r "$tiny" "$work/nan"
rm "$work/nan/stepstone.json"
size=$(stat -c %s "$work/nan/model.safetensors")
printf '\0\0\300\177' | dd of="$work/nan/model.safetensors" bs=1 seek=$((size - 4)) conv=notrunc status=none
for verb in "import $work/nan -o $work/y" "export -m $work/nan -o $work/x.gguf" \
  "quantize $work/nan $work/x.gguf Q4_0" "generate -m $work/nan -p x"; do
  # shellcheck disable=SC2086
  status 1 $verb
  says 'is nan: the weights are damaged' err
  says "$work/nan/model.safetensors: " err
done

# What is no model is named for what it seems to be.
seems() {  # FILE WHAT
  status 1 generate -m "$1" -p x
  says "$2" err
  says 'expected a model folder' err
}
: >"$work/empty"
echo '{"a": 1}' >"$work/some.json"
echo 'a recipe' >"$work/some.toml"
printf 'PK\003\004rest' >"$work/pytorch_model.bin"
seems "$work/empty" 'the file is empty'
seems "$work/some.json" 'seems to be JSON'
seems "$work/some.toml" 'seems to be text'
seems "$work/pytorch_model.bin" 'zip archive'
seems "$stepstone" 'seems to be a program'
seems "$tiny/model.safetensors" "name its folder, $tiny"
seems "$tiny/config.json" "name its folder, $tiny"
mkdir "$work/ggufs"
status 2 generate -m "$work/ggufs" -p x
says 'holds no config.json' err
cp "$work/f32.gguf" "$work/ggufs/a.gguf"
status 2 generate -m "$work/ggufs" -p x
says 'name one of its GGUF files: a.gguf' err
status 2 generate -m "$work/nothing" -p x
says 'there is no such file or folder' err

[ ! -e "$work/x.gguf" ] && [ ! -e "$work/y" ] || fail "a refused conversion left something behind"
finish
