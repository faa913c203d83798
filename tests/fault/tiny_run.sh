# Sourced by the tests of this folder with $program, $work (a folder) and the array `recipe` (key=value
# words) set: a small corpus, the recipe of a tiny model, and how to train it.
export STEPSTONE_HOME=$work/home
"$program" data synth -o "$work/text.jsonl" -n 400 2> /dev/null
cat > "$work/tiny.toml" <<'TOML'
[model]
layers = 1
hidden_size = 32
heads = 1
intermediate_size = 64
[tokenizer]
kind = "bytes"
[data]
val_fraction = 0.1
[train]
context = 32
rows = 2
eval_every = 0
TOML

train_command() {  # folder, flags…: $command
  command=("$program" train "$work/tiny.toml" "${recipe[@]}" --data "$work/text.jsonl" -q -o "$@")
}
train() {  # folder, flags…
  train_command "$@"
  "${command[@]}"
}
