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
