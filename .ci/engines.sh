# Functions that provide Docker and Podman for the tests, sourced by `.ci/run`.
#
# An engine that already answers is used as it is. One that was started here ends with `stop_engines`. Where one cannot
# be had, the reason is printed and its tests are skipped; where it can, MLGYM_REQUIRE_DOCKER=1 and
# MLGYM_REQUIRE_PODMAN=1 make a skipped test a failed one.

readonly ENGINE_IMAGE=mlgym-test-base
readonly PODMAN_SOCKET=/run/podman/podman.sock
started=()
logs=

note() {
    printf '%s: %s\n' "${BASH_SOURCE[0]}" "$*" >&2
}

# Install Debian packages, if any are named. Lists are fetched only then.
install_packages() {
    (($#)) || return 0
    DEBIAN_FRONTEND=noninteractive apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"
}

docker_answers() {
    command -v docker >/dev/null && timeout 10 docker info >/dev/null 2>&1
}

podman_answers() {
    [[ -S $PODMAN_SOCKET ]] && command -v podman >/dev/null &&
        timeout 10 podman --remote --url "unix://$PODMAN_SOCKET" info >/dev/null 2>&1
}

# Run a function until it succeeds, as long as a process lives and a minute has not passed.
wait_for() {
    local function=$1 process=$2 attempt
    for ((attempt = 0; attempt < 300; attempt++)); do
        if "$function"; then return 0; fi
        kill -0 "$process" 2>/dev/null || return 1
        sleep 0.2
    done
    return 1
}

# Start a service in the background, and wait until a function says that it answers.
start_service() {
    local name=$1 function=$2 process
    shift 2
    # From a folder that stays: Podman's monitors of containers do not start in one that was deleted meanwhile.
    (cd / && exec "$@") >"$logs/$name" 2>&1 </dev/null &
    process=$!
    if wait_for "$function" "$process"; then
        started+=("$process")
        return 0
    fi
    kill "$process" 2>/dev/null || true
    wait "$process" 2>/dev/null || true
    note "$name did not start:"
    tail -n 5 "$logs/$name" >&2
    return 1
}

stop_engines() {
    local process
    for process in ${started[@]+"${started[@]}"}; do
        kill "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
    if [[ -n $logs ]]; then rm -rf "$logs"; fi
}

start_docker() {
    docker_answers && return 0
    command -v dockerd >/dev/null || return 1
    start_service dockerd docker_answers dockerd ||
        # Without the kernel's packet filter there is no network for containers, which few tests need.
        start_service dockerd docker_answers dockerd --bridge=none --iptables=false --ip6tables=false
}

start_podman() {
    podman_answers && return 0
    command -v podman >/dev/null || return 1
    local command=(podman)
    # Podman's own choice of a runtime does not start on machines with both versions of control groups.
    if command -v runc >/dev/null; then command+=(--runtime "$(command -v runc)"); fi
    mkdir -p "$(dirname "$PODMAN_SOCKET")"
    start_service podman podman_answers "${command[@]}" system service --time=0 "unix://$PODMAN_SOCKET"
}

# Print the Debian release that has the Python that mlgym runs on, since compiled packages fit no other.
base_release() {
    case $("${PYTHON:-python3}" -c 'import sys; print("%d.%d" % sys.version_info[:2])') in
        3.11) echo bookworm ;;
        3.13) echo trixie ;;
        *) return 1 ;;
    esac
}

# Print the sources that this machine gets a Debian release from, if it has any.
own_sources() {
    local file
    for file in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
        if [[ -f $file ]] && grep -q "$1" "$file"; then
            echo "$file"
            return 0
        fi
    done
}

# Make a Debian system as an archive.
make_base() {
    local release=$1 archive=$2 sources
    sources=$(own_sources "$release")
    # shellcheck disable=SC2086 # no sources are no argument
    mmdebstrap --quiet --variant=minbase --include=python3,python3-numpy "$release" "$archive" $sources
}

# Make the base image in every engine that lacks it.
provide_base() {
    local engine release archive=$logs/base.tar
    for engine in "$@"; do
        if "$engine" image inspect "$ENGINE_IMAGE" >/dev/null 2>&1; then continue; fi
        if [[ ! -f $archive ]]; then
            if ! release=$(base_release); then
                note "No Debian release has this Python: the engines must pull an image that does."
                return 1
            fi
            note "Making the image $ENGINE_IMAGE of Debian $release …"
            make_base "$release" "$archive" || return 1
        fi
        "$engine" import "$archive" "$ENGINE_IMAGE" >/dev/null || return 1
    done
}

provide_engines() {
    logs=$(mktemp -d)
    local packages=() engines=()
    if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
        docker_answers || command -v dockerd >/dev/null || packages+=(docker.io iptables)
        podman_answers || command -v podman >/dev/null || packages+=(podman runc)
        command -v catatonit >/dev/null || packages+=(catatonit)
        command -v mmdebstrap >/dev/null || packages+=(mmdebstrap)
        install_packages ${packages[@]+"${packages[@]}"} ||
            note "Not everything that the container engines need could be installed."
    fi
    if start_docker; then engines+=(docker); else note "There is no Docker engine: its tests are skipped."; fi
    if start_podman; then engines+=(podman); else note "There is no Podman service: its tests are skipped."; fi
    ((${#engines[@]})) || return 0
    if [[ -z ${MLGYM_DOCKER_BASE:-} && -z ${MLGYM_DOCKER_IMAGE:-} ]]; then
        if ! provide_base "${engines[@]}"; then
            note "There is no image for containers: their tests are skipped unless an engine can pull one."
            return 0
        fi
        export MLGYM_DOCKER_BASE=$ENGINE_IMAGE
    fi
    local engine
    for engine in "${engines[@]}"; do export "MLGYM_REQUIRE_${engine^^}=1"; done
}
