# What the scripts of this folder share. To be sourced from the repository's root.

# The build that the tests use, so that nothing is compiled twice; name another with COUNTERSIGN=….
COUNTERSIGN=${COUNTERSIGN:-${CARGO_TARGET_DIR:-target}/debug/countersign}
CACHE=$PWD/.cache

# A demo is up within seconds; a machine that compiles beside it may need longer.
DEMO_START_SECS=60

# Starts a demo on free ports: `demo_start FORMAT LAST FILE`. Writes what it prints, up to the line that begins with
# LAST, to FILE; sets DEMO_PID.
demo_start() {
    local format=$1 last=$2 file=$3 line
    exec {DEMO_OUTPUT}< <(exec "$COUNTERSIGN" demo --output "$format" --listen 127.0.0.1:0 2>"$file.log")
    DEMO_PID=$!
    : >"$file"
    while IFS= read -r -t "$DEMO_START_SECS" -u "$DEMO_OUTPUT" line; do
        printf '%s\n' "$line" >>"$file"
        [[ $line == "$last"* ]] && return 0
    done
    echo "the demo did not start; it said:" >&2
    cat "$file" "$file.log" >&2
    return 1
}

# Asks the demo to stop, and fails unless it stops cleanly.
demo_stop() {
    local status=0
    kill -TERM "$DEMO_PID" 2>/dev/null || true
    wait "$DEMO_PID" || status=$?
    exec {DEMO_OUTPUT}<&-
    return "$status"
}

# Makes the Python environment, if it is not there or not the one that is asked for.
python_ready() {
    local venv=$CACHE/venv wanted=clients/python/requirements.txt
    if ! cmp -s "$wanted" "$venv/requirements.txt"; then
        rm -rf "$venv"
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted"
        cp "$wanted" "$venv/requirements.txt"
    fi
}

# Installs what package-lock.json names, if that is not there.
node_ready() {
    local kept=clients/node_modules/.package-lock.of.json
    if ! cmp -s clients/package-lock.json "$kept"; then
        npm ci --prefix clients --no-audit --no-fund --ignore-scripts --loglevel=error
        cp clients/package-lock.json "$kept"
    fi
}
