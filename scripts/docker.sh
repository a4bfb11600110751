# Sourced by test.sh: sees to it that a Docker daemon answers, for the tests of that executor. As root, what is missing is installed and a
# daemon is started; `stop_docker` ends the one that was started here, and no other. Otherwise the tests that need one are not run, and test.sh names them at its end.

docker_folder=""

stop_docker() {
    [ -n "$docker_folder" ] || return 0
    if [ -s "$docker_folder/pid" ]; then
        kill "$(cat "$docker_folder/pid")" 2>/dev/null || true
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            [ -e "$docker_folder/pid" ] || break
            sleep 1
        done
    fi
    rm -rf "$docker_folder"
}

start_docker() {
    if ! command -v dockerd >/dev/null 2>&1; then
        echo "== install docker.io"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker.io iptables >/dev/null
    fi
    docker_folder=$(mktemp -d)
    for driver in "" vfs; do
        dockerd ${driver:+--storage-driver "$driver"} --data-root "$docker_folder/data" --exec-root "$docker_folder/exec" \
            --pidfile "$docker_folder/pid" >"$docker_folder/log" 2>&1 &
        for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
            docker version >/dev/null 2>&1 && return 0
            sleep 1
        done
        [ ! -s "$docker_folder/pid" ] || kill "$(cat "$docker_folder/pid")" 2>/dev/null || true
        sleep 2
    done
    echo "dockerd does not start:" >&2
    tail -20 "$docker_folder/log" >&2
    return 3
}

if docker version >/dev/null 2>&1; then
    export PYNBOX_TEST_DOCKER=1
elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    start_docker
    export PYNBOX_TEST_DOCKER=1
else
    echo "no Docker daemon answers: the tests of that executor are not run (start one, and be in the group \`docker\`)"
fi
