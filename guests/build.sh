#!/usr/bin/env bash
# Builds the guest programs.
#
#   build.sh                   builds every image into bin/
#   build.sh --check           builds into a temporary directory and compares with bin/
#   build.sh --native DIR      builds the guests that have a native oracle as Linux i386 processes into DIR
#
# Needs gcc and binutils that can make 32-bit x86; CC names another compiler.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
CC=${CC:-gcc}
FLAGS=(-m32 -march=i686 -O2 -std=gnu11 -Wall -Wextra -Wno-parentheses -Wno-unused-parameter -ffreestanding -fno-pic
    -fno-pie -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables -fno-unwind-tables
    -fno-tree-loop-distribute-patterns -fno-strict-aliasing -fwrapv -fno-ident -mno-sse -mno-mmx -mno-80387
    -msoft-float -I"$here/lib")
LINK=(-m32 -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,noexecstack)

# The tools that made the committed images: other tools may make other bytes.
toolchain() {
    "$CC" --version | head -n 1
    ld --version | head -n 1
}

guests() {
    local file
    for file in "$here"/src/*.c; do
        basename "$file" .c
    done
}

# Guests whose manifest entry names the oracle $1.
guests_with_oracle() {
    awk -v want="\"$1\"" '
        /^name *=/ { name = $3; gsub(/"/, "", name) }
        /^oracles *=/ && index($0, want) { print name }' "$here/guests.toml"
}

# Sources of guest $1 besides the runtime; generates what is generated into directory $2.
sources() {
    echo "$here/src/$1.c"
    if [ -f "$here/src/$1.S" ]; then
        echo "$here/src/$1.S"
    fi
    if [ "$1" = cold ]; then
        "$CC" -O1 -o "$2/coldgen" "$here/lib/coldgen.c"
        "$2/coldgen" >"$2/cold_functions.s"
        echo "$2/cold_functions.s"
    fi
}

build_image() { # name, output directory
    local work=$2/work files
    mkdir -p "$work"
    files=$(sources "$1" "$work")
    # shellcheck disable=SC2086
    "$CC" "${FLAGS[@]}" "${LINK[@]}" -Wl,-T,"$here/lib/link.ld" -Wl,-z,max-page-size=4096 -Wl,--no-warn-rwx-segments \
        -o "$work/$1.elf" "$here/lib/start.S" "$here/lib/machine.c" "$here/lib/common.c" $files
    strip --strip-all -o "$2/$1.elf" "$work/$1.elf"
    chmod 644 "$2/$1.elf"
    rm -r "$work"
}

build_native() { # name, output directory
    local work=$2/work files
    mkdir -p "$work"
    files=$(sources "$1" "$work")
    # shellcheck disable=SC2086
    "$CC" "${FLAGS[@]}" "${LINK[@]}" -DNATIVE -Wl,--no-warn-rwx-segments \
        -o "$2/$1" "$here/lib/native.S" "$here/lib/native.c" "$here/lib/common.c" $files
    rm -r "$work"
}

# Contents of the sections that count, and where they are loaded.
content() { # image, scratch directory
    local section
    for section in .text .rodata .data; do
        objcopy -O binary --only-section="$section" "$1" "$2/section" 2>/dev/null || : >"$2/section"
        sha256sum <"$2/section"
    done
    objdump -h "$1" | awk '$2 ~ /^\.(text|rodata|data|bss)$/ { print $2, $3, $4 }'
    objdump -f "$1" | grep 'start address'
}

check() {
    local name differ=()
    scratch=$(mktemp -d)
    trap "rm -rf '$scratch'" EXIT
    for name in $(guests); do
        build_image "$name" "$scratch"
        if [ ! -f "$here/bin/$name.elf" ] ||
            [ "$(content "$scratch/$name.elf" "$scratch")" != "$(content "$here/bin/$name.elf" "$scratch")" ]; then
            differ+=("$name")
        fi
    done
    if [ ${#differ[@]} -eq 0 ]; then
        echo "guests: all images equal their sources"
    elif [ "$(toolchain)" != "$(cat "$here/bin/TOOLCHAIN")" ]; then
        echo "guests: notice: not comparable, images were made by other tools; they differ for: ${differ[*]}"
        diff "$here/bin/TOOLCHAIN" <(toolchain) || :
    else
        echo "guests: images differ from their sources: ${differ[*]}" >&2
        exit 1
    fi
}

case "${1:-}" in
"")
    mkdir -p "$here/bin"
    for name in $(guests); do
        build_image "$name" "$here/bin"
    done
    toolchain >"$here/bin/TOOLCHAIN"
    ;;
--check) check ;;
--native)
    mkdir -p "$2"
    for name in $(guests_with_oracle native); do
        build_native "$name" "$2"
    done
    ;;
*)
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
