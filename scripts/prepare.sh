# Sourced by quickstart.sh and test.sh: sees to it that the programs and the kernel features that a build needs are there.
# Debian packages that are missing are installed where that is allowed; otherwise the script says what to install and ends with 3.

missing=""
command -v ninja >/dev/null 2>&1 || missing="$missing ninja-build"
command -v cc >/dev/null 2>&1 || missing="$missing gcc libc6-dev"
command -v python3 >/dev/null 2>&1 || missing="$missing python3"

if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "== install$missing"
        apt-get update -qq
        # shellcheck disable=SC2086 # a list of words
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
    else
        echo "missing programs; install them first: sudo apt-get install$missing" >&2
        exit 3
    fi
fi

# The mirror's address comes from apt's own settings.
if ! command -v apt-get >/dev/null 2>&1; then
    echo "apt-get is missing: set \`debian-mirror\` in the section [source] of pynbox.toml to a Debian mirror" >&2
fi

if ! command -v cargo >/dev/null 2>&1; then
    echo "cargo is missing: install Rust 1.95 or newer (https://rustup.rs), then start again" >&2
    exit 3
fi

# The static program that runs actions in Docker and on remote workers.
cargo runner --locked
