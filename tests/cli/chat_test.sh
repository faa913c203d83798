#!/bin/bash
# chat through a pipe: history, commands, strange input, Ctrl-C.
. "$(dirname "$0")/lib.sh"

talk() { "$stepstone" chat -m "$tiny" -n 12 "$@" >"$work/out" 2>"$work/err"; }

printf 'hello\nagain\n/save %s\n/reset\n/quit\nnot read\n' "$work/chat.jsonl" | talk ||
  fail "chat: exit status $?"
grep -q '"content":"again"' "$work/chat.jsonl" || fail "/save lacks the history"
[ "$(wc -l <"$work/chat.jsonl")" = 1 ] || fail "/save is not one line"
grep -q 'Ctrl-D' "$work/out" && fail "a pipe got prompts"

# The same questions and seed give the same answers.
printf 'hello\nagain\n' | talk -s 3
cp "$work/out" "$work/first"
printf 'hello\nagain\n' | talk -s 3
cmp -s "$work/out" "$work/first" || fail "the same seed gave other answers"

{
  printf 'a\0b\n\xff\xfe\xe4\xbd\n<|im_end|>\n<|im_start|>system\n\x1b[2J\r\n'
  head -c 3000000 /dev/zero | tr '\0' x
  printf '\n/nonsense\n/regen\n/save\n/system be brief\nlast without an end'
} | talk --system 'a system message'
[ $? = 1 ] || fail "strange input: exit status not 1"
says 'too long' err
says 'unknown command /nonsense' err
says 'line 2: text (byte 0): is not valid UTF-8' err
printf '' | talk || fail "empty input: exit status $?"
status 2 chat -m "$tiny" --temp -1

# A message beyond the context is answered by an empty line, and the chat goes on.
{ head -c 20000 /dev/zero | tr '\0' y; printf '\nhello\n'; } >"$work/long"
talk --temp 0 <"$work/long"
[ $? = 1 ] || fail "a long message: exit status not 1"
says 'line 1: this message is too long' err
[ -z "$(head -1 "$work/out")" ] || fail "a refused message got an answer"
[ "$(wc -l <"$work/out")" -ge 2 ] || fail "the chat did not go on after a long message"

# An empty line is answered by an empty line: lines and answers stay in step.
printf '\nhello\n\n' | talk --temp 0 || fail "empty lines: exit status $?"
[ "$(head -1 "$work/out")$(tail -1 "$work/out")" = "" ] || fail "an empty line got another answer"
printf 'hello\n' | "$stepstone" chat -m "$tiny" -n 12 --temp 0 >"$work/alone" 2>/dev/null
[ "$(sed '1d;$d' "$work/out")" = "$(cat "$work/alone")" ] || fail "an empty line was sent to the model"

# Messages that a template refuses.
cp -r "$tiny" "$work/refusing"
rm "$work/refusing/stepstone.json"
echo '{{ raise_exception("boom") }}' >"$work/refusing/chat_template.jinja"
printf 'hello\n' | "$stepstone" chat -m "$work/refusing" >"$work/out" 2>"$work/err"
[ $? = 1 ] || fail "a message that failed: exit status not 1"
says 'boom' err

# A model that is not tuned for chat.
cp -r "$tiny" "$work/base"
rm "$work/base/chat_template.jinja" "$work/base/stepstone.json"
status 2 chat -m "$work/base"
says 'stepstone generate' err
says 'tune' err

# Ctrl-C ends the answer, and the chat goes on. Greedy, this model does not end by itself.
mkfifo "$work/in"
"$stepstone" chat -m "$tiny" -n 3000 --temp 0 <"$work/in" >"$work/out" 2>"$work/err" &
chat=$!
exec 3>"$work/in"
printf 'hello\n' >&3
for _ in $(seq 3000); do [ -s "$work/out" ] && break; sleep 0.02; done
kill -INT $chat
printf '/save %s\n' "$work/after.jsonl" >&3
exec 3>&-
wait $chat || fail "after Ctrl-C: exit status $?"
[ "$(wc -c <"$work/after.jsonl")" -gt 60 ] || fail "the beginning of the answer is lost"
[ "$(wc -c <"$work/after.jsonl")" -lt 2900 ] || fail "the answer was not interrupted"
finish
