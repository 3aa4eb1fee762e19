#!/usr/bin/env bash
# Runs the guests on the oracles that the manifest names, a Linux i386 process and qemu-system-i386 (with and without
# paging=1), and compares the results with expected.toml.
#
#   run-oracles.sh [--bench] [NAME...]    the quick amounts of work; with --bench those of the benchmarks too
#   run-oracles.sh --bless                writes expected.toml anew: from native, else from QEMU, else what a guest that
#                                         checks itself must give
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
QEMU=${QEMU:-qemu-system-i386}
LIMIT=${LIMIT:-120}
# Result of a guest that checks everything itself (PASSED in lib/board.h).
PASSED=0000600d

# One line for each guest: name, oracles, n, bench_n, further arguments.
manifest() {
    awk '
        function flush() { if (name) print name "|" oracles "|" n "|" bench "|" args }
        function value() { sub(/^[a-z_]+ *= */, ""); gsub(/["\[\],]/, ""); return $0 }
        /^\[\[guest\]\]/ { flush(); name = args = "" }
        /^name *=/ { name = value() }
        /^oracles *=/ { oracles = value() }
        /^n *=/ { n = value() }
        /^bench_n *=/ { bench = value() }
        /^args *=/ { args = value() }
        END { flush() }' "$here/guests.toml"
}

expected() { # name, key
    awk -v section="[$1]" -v key="$2" '
        /^\[/ { inside = $0 == section }
        inside && $1 == key { gsub(/"/, "", $3); print $3 }' "$here/expected.toml"
}

# The result word of a run whose output and exit status follow the protocol exactly, else what went wrong.
result() { # name, n, expected status, command...
    local name=$1 n=$2 status=$3 got=0 output
    shift 3
    output=$(timeout "$LIMIT" "$@" </dev/null) || got=$?
    if [ "$got" -ne "$status" ] ||
        ! [[ "$output" =~ ^"start $name n=$n"$'\n'end$'\n'result\ ([0-9a-f]{8})$ ]]; then
        echo "status-$got:${output//$'\n'/,}"
        return
    fi
    echo "${BASH_REMATCH[1]}"
}

native() { # name, n, args
    # shellcheck disable=SC2086
    result "$1" "$2" 0 "$natives/$1" "n=$2" $3
}

qemu() { # name, n, args
    result "$1" "$2" 1 "$QEMU" -kernel "$here/bin/$1.elf" -append "n=$2 $3" -display none -serial none -monitor none \
        -net none -debugcon stdio -device isa-debug-exit,iobase=0xf4,iosize=4 -no-reboot
}

compare() { # what, got, wanted
    if [ "$2" = "$3" ]; then
        echo "ok   $1 $2"
    else
        echo "FAIL $1 got $2, expected $3"
        failures=$((failures + 1))
    fi
}

check_guest() { # name, oracles, n, args, wanted
    if [[ $2 == *native* ]]; then
        compare "$1 n=$3 native" "$(native "$1" "$3" "$4")" "$5"
    fi
    if [[ $2 == *qemu* ]]; then
        compare "$1 n=$3 qemu" "$(qemu "$1" "$3" "$4")" "$5"
        compare "$1 n=$3 qemu paging" "$(qemu "$1" "$3" "$4 paging=1")" "$5"
    fi
}

check() { # bench, names...
    local bench=$1 name oracles n bench_n args
    shift
    while IFS='|' read -r name oracles n bench_n args; do
        if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then
            continue
        fi
        check_guest "$name" "$oracles" "$n" "$args" "$(expected "$name" result)"
        if [ "$bench" = 1 ]; then
            check_guest "$name" "$oracles" "$bench_n" "$args" "$(expected "$name" bench_result)"
        fi
    done < <(manifest)
    [ "$failures" -eq 0 ]
}

bless() {
    local name oracles n bench_n args from
    echo "# Results of the guests, written by run-oracles.sh --bless. from: the oracle; \"self\": the guest checks"
    echo "# everything itself and gives this constant."
    while IFS='|' read -r name oracles n bench_n args; do
        case $oracles in
        *native*) from=native ;;
        *qemu*) from=qemu ;;
        *) from=self ;;
        esac
        printf '\n[%s]\nn = %s\n' "$name" "$n"
        if [ "$from" = self ]; then
            printf 'result = "%s"\nbench_n = %s\nbench_result = "%s"\n' "$PASSED" "$bench_n" "$PASSED"
        else
            printf 'result = "%s"\n' "$("$from" "$name" "$n" "$args")"
            printf 'bench_n = %s\nbench_result = "%s"\n' "$bench_n" "$("$from" "$name" "$bench_n" "$args")"
        fi
        printf 'from = "%s"\n' "$from"
    done < <(manifest)
}

failures=0
natives=$(mktemp -d)
trap 'rm -rf "$natives"' EXIT
"$here/build.sh" --native "$natives"
case "${1:-}" in
--bless)
    bless >"$natives/expected.toml"
    cp "$natives/expected.toml" "$here/expected.toml"
    ;;
--bench) check 1 "${@:2}" ;;
*) check 0 "$@" ;;
esac
