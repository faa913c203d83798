#!/usr/bin/env bash
# Every command of the README's list runs, on small data and with flags added that shorten it.
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

commands=$(sed -nE 's/^(stepstone [^#]*[^# ]) *(#.*)?$/\1/p' "$source/README.md")
count=$(wc -l <<< "$commands")
[ "$count" -ge 14 ] || { echo "README.md lists only $count commands"; exit 1; }
while read -r command; do
  eval "${command/--minutes 10/}"  # a shorter time is added
  # The stones that later commands speak of are those of the first speedrun.
  if [ ! -e runs/base ] && compgen -G "runs/speedrun-*" > /dev/null; then
    first=$(echo runs/speedrun-*)
    cp -r "$first/base" "$first/chat" runs/
    cp "$first/data/chats.jsonl" chats.jsonl
    sleep 1.1  # the next speedrun's folder has another second in its name
  fi
  # A finished run is only gone on with by --resume; tune needs a free folder.
  case "$command" in "stepstone eval"*) [ -s out.txt ] || { echo "eval printed nothing"; exit 1; } ;; esac
  case "$command" in
    *"--out runs/chat"*) ;;
    *"speedrun --corpus"*) mv runs/chat runs/chat-first ;;
  esac
done <<< "$commands"
echo "$count commands of README.md ran"
