#!/bin/sh
# Fuzzes what reads strangers' bytes: scripts/fuzz.sh [--keep] SECONDS [TARGET…], or scripts/fuzz.sh --lint
#
# Replays what is kept in fuzz/corpus, then looks for more for SECONDS in all, one target after the other. With --keep, inputs that reach new
# code are added to fuzz/corpus, which stays as small as they allow. Prints a line a target; ends with 1 if an input was found that fails, and
# says how to run it again. What is found meanwhile lies in target/fuzz. docs/guide/fuzzing.md says what the targets are.
# With --lint, clippy looks at the targets, and nothing is run.
set -eu
cd "$(dirname "$0")/.."

loader="calls dylink modules options paths record"
tool="archive deb debian envelope pack package patch plan pypi reapi repository requirements toml wheel"

keep=""
if [ "${1-}" = --keep ]; then
    keep=yes
    shift
fi
# Calls cargo for a workspace of targets, which has the same versions of all crates as the one above it, and shares what is built of that.
cargo_in() {
    folder=$1 target_dir=$2
    shift 2
    cmp -s "$folder/../Cargo.lock" "$folder/.cargo-lock" || cp "$folder/../Cargo.lock" "$folder/Cargo.lock"
    cp "$folder/../Cargo.lock" "$folder/.cargo-lock"
    subcommand=$1
    shift
    cargo "$subcommand" --release --quiet --manifest-path "$folder/Cargo.toml" --target-dir "$target_dir" "$@"
}

lint=""
if [ "$*" = --lint ]; then
    lint=yes
    set -- 0
fi
case "${1-}" in
"" | *[!0-9]*)
    echo "usage: scripts/fuzz.sh [--keep] SECONDS [TARGET…] | --lint; the targets: $loader $tool" >&2
    exit 2
    ;;
esac
seconds=$1
shift
[ "$#" -gt 0 ] || set -- $loader $tool

if ! command -v c++ >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends g++ >/dev/null
    else
        echo "libFuzzer has to be compiled; install a C++ compiler first: sudo apt-get install g++" >&2
        exit 3
    fi
fi

if [ -n "$lint" ]; then
    cargo_in sandbox/fuzz sandbox/target clippy -- -D warnings
    cargo_in fuzz target clippy -- -D warnings
    exit
fi

build() {
    RUSTC_WRAPPER=$PWD/scripts/instrument.sh cargo_in "$1" "$2" build
}

has() {
    case " $1 " in *" $2 "*) ;; *) return 1 ;; esac
}

of_loader="" of_tool=""
for target; do
    if has "$loader" "$target"; then
        of_loader=yes
    elif has "$tool" "$target"; then
        of_tool=yes
    else
        echo "there is no target \`$target\`; the targets: $loader $tool" >&2
        exit 2
    fi
done
[ -z "$of_loader" ] || build sandbox/fuzz sandbox/target
# Whole modules are run by the loader itself: that of an installation, or one that is compiled now.
if has "$*" modules && [ -z "${FUZZ_LOADER-}" ]; then cargo build --release --locked --quiet --manifest-path sandbox/Cargo.toml --bin run; fi
[ -z "$of_tool" ] || build fuzz target

# Where targets make their folders; one that ends by a finding leaves them.
TMPDIR=$(mktemp -d)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

# Guests have the most that they can do, in long sequences.
parts=$#
if has "$*" calls; then parts=$((parts + 3)); fi
failed=0
printf '%-12s %12s %8s %8s %8s\n' target executions edges corpus findings
for target; do
    program=target/release/build-fuzz
    if has "$loader" "$target"; then program=sandbox/target/release/loader-fuzz; fi
    kept=fuzz/corpus/$target found=target/fuzz/$target/found findings=target/fuzz/$target/findings
    log=target/fuzz/$target/log
    mkdir -p "$kept" "$found" "$findings"
    share=$((seconds / parts)) length="-max_len=4096"
    if [ "$target" = modules ]; then length="-max_len=4096 -len_control=0"; fi
    if [ "$target" = calls ]; then share=$((4 * seconds / parts)) length="-max_len=1024 -len_control=0"; fi
    fuzz() {
        # shellcheck disable=SC2086 # a list of words
        FUZZ_TARGET=$target "$program" $length -rss_limit_mb=1024 -timeout=20 -handle_xfsz=0 -print_final_stats=1 \
            -artifact_prefix="$findings/" "$@"
    }
    status=0
    # No time is left for more than what is kept, if there are more targets than seconds.
    if [ "$share" = 0 ]; then
        fuzz -runs=0 "$kept" >"$log" 2>&1 || status=$?
    else
        fuzz -max_total_time="$share" "$found" "$kept" >"$log" 2>&1 || status=$?
    fi
    last=$(grep -E '^#[0-9]+\s' "$log" | tail -n 1)
    edges=$(printf '%s\n' "$last" | sed -n 's/.* cov: \([0-9]*\).*/\1/p')
    executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)
    if [ "$status" = 0 ] && [ -z "$edges" ]; then
        echo "\`$program\` counts no edges: something else built it; remove it and start again" >&2
        exit 1
    fi
    if [ "$status" = 0 ] && [ -n "$keep" ]; then
        rm -rf "target/fuzz/$target/merged"
        mkdir "target/fuzz/$target/merged"
        fuzz -set_cover_merge=1 -use_counters=0 "target/fuzz/$target/merged" "$kept" "$found" >"$log.merge" 2>&1
        # Inputs that somebody named are there for another reason.
        find "$kept" -type f ! -name "$(printf '?%.0s' $(seq 40))" -exec cp {} "target/fuzz/$target/merged" \;
        rm -rf "$kept"
        mv "target/fuzz/$target/merged" "$kept"
    fi
    printf '%-12s %12s %8s %8s %8s\n' "$target" "${executed:--}" "${edges:--}" "$(find "$kept" -type f | wc -l)" "$((status != 0))"
    if [ "$status" != 0 ]; then
        failed=1
        grep -E -A 3 "panicked at|ERROR: libFuzzer" "$log" | cut -c 1-300 | head -n 4
        input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
        echo "again: FUZZ_TARGET=$target $program ${input:-$kept/*}"
    fi
done
exit "$failed"
