#!/bin/sh
# Runs a command now and again and again: `repeat SECONDS COMMAND...`. A run that fails is said and tried again at
# the next turn. `repeat --healthy SECONDS` tells whether the last good run is not older than two turns and an hour.
set -eu

stamp="${REPEAT_STAMP:-/run/repeat/last}"

if [ "$1" = --healthy ]; then
    [ -f "$stamp" ] || { echo "repeat: nothing has succeeded yet" >&2; exit 1; }
    age=$(($(date +%s) - $(cat "$stamp")))
    [ "$age" -le $(($2 * 2 + 3600)) ] || { echo "repeat: the last good run was $age s ago" >&2; exit 1; }
    exit 0
fi

seconds=$1
shift
# A shell that waits for a child in the foreground does not hear that it is to stop.
trap 'kill "$child" 2>/dev/null || true; exit 143' TERM INT
while :; do
    "$@" &
    child=$!
    if wait "$child"; then date +%s >"$stamp"; else echo "repeat: the command failed; next try in $seconds s" >&2; fi
    sleep "$seconds" &
    child=$!
    wait "$child"
done
