#!/usr/bin/env bash
# Runs the lines that the demo prints exactly as they are printed, and asks of each whether it did what it says.
#
# A line that follows a comment with a status ("# no token: 403") must get that status, every other 2xx or a
# redirect. A line that sets a variable must set it. DEMO names what the demo printed.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# curl's own configuration makes it tell the status of each answer on standard error, whatever the line says.
printf 'write-out = "%%{stderr}%%{http_code}\\n"\nmax-time = 30\n' >"$work/.curlrc"
export CURL_HOME=$work TMPDIR=$work

passed=0 failed=0 api= pending= announced=

# Runs one line in this shell, so that its variables stay.
run_line() {
    local line=$1 wanted=${announced:-[23][0-9][0-9]} name=${line%%=*} statuses why=
    announced=
    : >"$work/statuses"
    eval "$line" >"$work/answer" 2>"$work/statuses" </dev/null || why="exit code $?"
    statuses=$(tr '\n' ' ' <"$work/statuses")
    for status in $statuses; do
        # shellcheck disable=SC2053 # the right side is a pattern
        [[ $status == $wanted ]] || why="${why:+$why, }status $status, not $wanted"
    done
    [[ $line != *curl\ * || -n $statuses ]] || why="${why:+$why, }no answer"
    if [[ $line =~ ^[A-Z_]+= && -z ${!name:-} ]]; then why="${why:+$why, }$name is empty"; fi
    if [ -z "$why" ]; then
        passed=$((passed + 1))
        echo "ok $api: ${line:0:110}"
    else
        failed=$((failed + 1))
        echo "FAIL $api: $line: $why"
        sed 's/^/   /' "$work/answer"
    fi
}

while IFS= read -r line; do
    if [ -n "$pending" ]; then
        line=$pending$line pending=
    fi
    case $line in
        *\\) pending=${line%\\} ;;
        "── "*) api=${line#── } api=${api%%:*} announced= ;;
        "Health, metrics"*) api= ;;
        "# "*) if [[ $line =~ [^0-9]([45][0-9][0-9])[^0-9] || $line =~ [^0-9]([45][0-9][0-9])$ ]]; then announced=${BASH_REMATCH[1]}; fi ;;
        "   "* | "") ;;
        *) [ -z "$api" ] || run_line "$line" ;;
    esac
done <"$DEMO"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
