#!/bin/sh
# A throw-away Python virtual environment for the anchors and the golden makers.
#   bench/venv.sh DIR [PACKAGE...]     prints the path of its python
# Packages come through pip as it is configured on this machine. A folder that already holds what is asked is reused.
set -eu
[ $# -ge 1 ] || { echo "usage: $0 DIR [PACKAGE...]" >&2; exit 2; }
dir=$1
shift
[ $# -gt 0 ] || set -- torch numpy safetensors transformers tokenizers tiktoken sentencepiece
if [ ! -x "$dir/bin/python" ]; then
    python3 -m venv "$dir" || {
        rm -rf "$dir"
        echo "$0: python3 cannot make a virtual environment (Debian: apt install python3-venv)" >&2
        exit 1
    }
fi
"$dir/bin/python" -m pip install --quiet --disable-pip-version-check "$@" >&2
echo "$dir/bin/python"
