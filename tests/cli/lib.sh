# What the tests of the program share. Use: . lib.sh; each check names what it expected.
set -u
stepstone=$1 tiny=$2 source=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export STEPSTONE_HOME=$work/home
failures=0

fail() {
  echo "FAILED: $*" >&2
  failures=$((failures + 1))
}

# status N WHAT… : runs the program with WHAT, keeps its output in $work/out and $work/err.
status() {
  local expected=$1 got
  shift
  "$stepstone" "$@" >"$work/out" 2>"$work/err" </dev/null
  got=$?
  [ "$got" = "$expected" ] || {
    fail "stepstone $*: exit status $got, expected $expected"
    tail -5 "$work/err" >&2
  }
}

# says TEXT FILE: the file (out or err) of the last run contains it.
says() {
  grep -qF -- "$1" "$work/$2" || {
    fail "$2 does not say: $1"
    head -20 "$work/$2" >&2
  }
}

finish() {
  [ "$failures" = 0 ] || exit 1
}
