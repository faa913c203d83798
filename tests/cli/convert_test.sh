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
[ ! -e "$work/x.gguf" ] && [ ! -e "$work/y" ] || fail "a refused conversion left something behind"
finish
