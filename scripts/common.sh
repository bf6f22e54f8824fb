# shellcheck shell=bash disable=SC2034
# What scripts/demo, scripts/test and .ci/run share.  Sourced by bash, not run.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

packages_build=(autoconf automake make gcc libc6-dev binutils pkg-config libuv1-dev libyajl-dev)
packages_demo=("${packages_build[@]}" python3 qemu-system-x86 qemu-utils)
packages_test=("${packages_demo[@]}" libcriterion-dev mandoc git)
packages_ci=("${packages_test[@]}" clang-format clang-tidy cppcheck valgrind xz-utils systemd systemd-container
    dbus chromium chromium-driver)

# install the Debian packages that are not there; says nothing when none is missing
install_packages() {
    local missing=() package try log

    command -v dpkg-query >/dev/null || return 0
    for package in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
            missing+=("$package")
    done
    [[ ${#missing[@]} -gt 0 ]] || return 0
    if [[ $EUID -ne 0 ]]; then
        echo "These Debian packages are missing, and only root can install them: ${missing[*]}" >&2
        return 1
    fi
    echo "Installing Debian packages: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    for try in 1 2 3; do
        if (apt-get update && apt-get install -y --no-install-recommends "${missing[@]}") >"$log" 2>&1 </dev/null; then
            rm -f "$log"
            return 0
        fi
        tail -n 20 "$log" >&2
        echo "apt-get failed (attempt $try of 3)" >&2
    done
    return 1
}

# configure in a folder of its own: configure_in FOLDER CONFIGURE-ARGUMENT…
configure_in() {
    local folder=$1
    shift
    mkdir -p "$folder"
    if [[ ! -x $top/configure || $top/configure -ot $top/configure.ac ]]; then
        (cd "$top" && autoreconf -fi 2>&1) >"$folder/autoreconf.log" ||
            { cat "$folder/autoreconf.log" >&2; return 1; }
    fi
    (cd "$folder" && "$top/configure" --quiet "$@")
}

# count the results of `make check` under a folder: passed, failed, skipped
count_results() {
    find "$1" -name '*.trs' -exec cat {} + | awk '
        $1 == ":test-result:" && ($2 == "PASS" || $2 == "XFAIL") { passed++ }
        $1 == ":test-result:" && ($2 == "FAIL" || $2 == "ERROR" || $2 == "XPASS") { failed++ }
        $1 == ":test-result:" && $2 == "SKIP" { skipped++ }
        END { print passed + 0, failed + 0, skipped + 0 }'
}

# name the tests that `make check` under a folder did not pass, with the end of what each
# program said; the last lines of a long log are what a reader sees first
show_failures() {
    local log

    find "$1" -name '*.trs' -exec grep -lE '^:test-result: (FAIL|ERROR|XPASS)' {} + | sort | while read -r log; do
        grep -hE '^:test-result: (FAIL|ERROR|XPASS)' "$log" | sed "s,^:test-result:,${log#"$1"/}:,"
        tail -n 40 "${log%.trs}.log"
    done
}
