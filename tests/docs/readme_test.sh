#!/usr/bin/env bash
# Every command of README.md and of docs/chat.md and docs/data.md runs, on small data and with flags added that shorten it,
# and every request of docs/serve.md on the speedrun's model.
#   readme_test.sh PROGRAM SOURCE
set -euo pipefail
program=$(realpath "$1")
source=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export STEPSTONE_HOME=$work/home
cd "$work"
ln -s "$source/recipes" recipes
mkdir my-texts
for i in $(seq 40); do
  echo "Text $i: a cat sat on a mat, and $i mice looked on. The end of tale $((i * 7))." > "my-texts/$i.txt"
done
for i in $(seq 300); do echo "ROMEO: scene $i. To be, or not to be: that is question $i."; done > shakespeare.txt

stepstone() {
  local short=()
  case "$1 ${2:-}" in
    speedrun*) short=(--minutes 0.05 --questions 1 -q) ;;
    train*) short=(train.steps=3 train.eval_every=0 -q) ;;
    tune*) short=(train.steps=2 -q) ;;
    eval*) short=(-n 1) ;;
    "bench gemm") short=(--repetitions 1) ;;
    "bench train") short=(--steps 1 --rows 1 --context 16) ;;
  esac
  "$program" "$@" "${short[@]}" < /dev/null > out.txt 2> err.txt || {
    echo "failed: stepstone $* ${short[*]}"
    tail -5 err.txt
    exit 1
  }
}

commands=$(cat "$source"/README.md "$source"/docs/{chat,data}.md |
  sed -nE 's/^(stepstone [^#]*[^# ]) *(#.*)?$/\1/p')
count=$(wc -l <<< "$commands")
[ "$count" -ge 20 ] || { echo "the documents list only $count commands"; exit 1; }
echo 'A note.' > notes.txt
cp shakespeare.txt book.txt
while read -r command; do
  eval "${command/--minutes 10/}"  # a shorter time is added
  case "$command" in
    "stepstone eval"*) [ -s out.txt ] || { echo "eval printed nothing"; exit 1; } ;;
    "stepstone speedrun") sleep 1.1 ;;  # the next one's folder has another second in its name
  esac
done <<< "$commands"
# What docs/serve.md asks fits the model that quickstart makes, whose context is short.
models=(runs/speedrun-*/chat)
status=0
python3 "$source/tests/serve/docs_test.py" "$program" "${models[0]}" || status=$?
[ "$status" = 0 ] || [ "$status" = 77 ] || exit 1
echo "$count commands of the documents ran"
