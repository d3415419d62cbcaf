#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tests/install/run.sh BUILD SOURCE: installs a build into a scratch prefix, looks at what is there, and builds and runs programs
# against it by pkg-config, by CMake's find_package, and a backend outside of the tree, which then runs through the suite.
set -euo pipefail
build=$1
source=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
prefix=$scratch/prefix
fail() { echo "install: $*" >&2; exit 1; }
value() { sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"; }

cmake --install "$build" --prefix "$prefix" >"$scratch/log" || { cat "$scratch/log"; fail "does not install"; }
lib=$prefix/$(value CMAKE_INSTALL_LIBDIR)

echo "-- what is there"
diff -r "$source/include/marty" "$prefix/include/marty" || fail "the headers are not those of the tree"
[ "$(find "$prefix/include" -type f | wc -l)" -eq "$(find "$source/include/marty" -name '*.h' | wc -l)" ] ||
    fail "there are other headers"
[ -L "$lib/libmarty.so" ] && [ -L "$lib/libmarty.so.0" ] || fail "libmarty.so or libmarty.so.0 is missing"
readelf -d "$lib/libmarty.so" | grep -q 'SONAME.*\[libmarty.so.0\]' || fail "the SONAME is not libmarty.so.0"
if nm -D --defined-only "$lib/libmarty.so" | grep -q ' marty__'; then
    fail "internal symbols are exported"
fi
for module in "$build"/modules/*.so; do
    [ -e "$module" ] || continue
    [ -e "$lib/marty/modules/$(basename "$module")" ] || fail "$(basename "$module") is not installed"
    case $(nm -D --defined-only "$module" | awk '{print $3}' | tr '\n' ' ') in
    "marty_module " | "marty_saga_store_module " | "marty_module marty_saga_store_module " | \
        "marty_notes_module marty_saga_store_module ") ;;
    *) fail "$(basename "$module") exports more than the tables of a backend, a store of sagas and its notes" ;;
    esac
done
if [ -x "$prefix/bin/marty" ]; then
    for file in man/man1/marty.1 man/man1/marty-pub.1 bash-completion/completions/marty zsh/site-functions/_marty \
        fish/vendor_completions.d/marty.fish; do
        [ -s "$prefix/share/$file" ] || fail "share/$file is not installed"
    done
fi
if [ -x "$prefix/bin/marty" ]; then
    mv "$prefix" "$scratch/moved" # the program finds its library wherever the prefix goes
    "$scratch/moved/bin/marty" --version || fail "the installed program does not run"
    mv "$scratch/moved" "$prefix"
fi

echo "-- DESTDIR"
DESTDIR=$scratch/stage cmake --install "$build" >"$scratch/log"
[ -e "$scratch/stage$(value CMAKE_INSTALL_PREFIX)/include/marty/marty.h" ] || fail "DESTDIR is not obeyed"

export LD_LIBRARY_PATH=$lib MARTY_MODULE_PATH=$lib/marty/modules
echo "-- pkg-config"
export PKG_CONFIG_PATH=$lib/pkgconfig
# shellcheck disable=SC2046
"${CC:-cc}" -std=c11 -Wall -Wextra -Wpedantic -Werror "$source/tests/install/sample.c" -o "$scratch/sample" \
    $(pkg-config --cflags --libs marty)
"$scratch/sample"
[ "$(pkg-config --variable=moduledir marty)" -ef "$lib/marty/modules" ] || [ ! -d "$lib/marty/modules" ] ||
    fail "moduledir is wrong"

echo "-- find_package"
cmake -S "$source/tests/install/package" -B "$scratch/package" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" >"$scratch/log" ||
    { cat "$scratch/log"; fail "find_package"; }
cmake --build "$scratch/package" >"$scratch/log" || { cat "$scratch/log"; fail "does not build"; }
"$scratch/package/sample"
"$scratch/package/sample_cpp"

if [ -x "$prefix/bin/marty" ]; then
    echo "-- modules that are refused"
    mkdir "$scratch/odd"
    # refused CODE PART-OF-THE-TEXT: a module of that code is not taken, and says so
    refused() {
        echo "#include <marty/backend.h>
            $1" >"$scratch/odd.c"
        # shellcheck disable=SC2046
        "${CC:-cc}" -shared -fPIC -o "$scratch/odd/marty-odd.so" "$scratch/odd.c" $(pkg-config --cflags marty)
        MARTY_MODULE_PATH=$scratch/odd "$prefix/bin/marty" pub order.created x -b odd:x 2>"$scratch/log" &&
            fail "an odd module was taken: $1"
        grep -q "$2" "$scratch/log" || { cat "$scratch/log"; fail "it does not say: $2"; }
    }
    refused 'int other;' 'it exports no marty_module'
    refused 'MARTY_API const marty_backend marty_module = {.abi = 99, .size = sizeof(marty_backend)};' 'ABI 99'
    refused 'MARTY_API const marty_backend marty_module = {.abi = MARTY_BACKEND_ABI, .size = 8};' 'has 8 bytes'
    refused 'MARTY_API const marty_backend marty_module = {.abi = MARTY_BACKEND_ABI, .size = sizeof(marty_backend), .scheme = "odd"};' \
        'slot of the backend'
fi

if [ -f "$source/examples/backend/CMakeLists.txt" ]; then
    echo "-- a backend outside of the tree"
    cp -r "$source/examples/backend" "$scratch/backend"
    cmake -S "$scratch/backend" -B "$scratch/backend-build" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" >"$scratch/log" ||
        { cat "$scratch/log"; fail "the example of a backend does not configure"; }
    cmake --build "$scratch/backend-build" >"$scratch/log" || { cat "$scratch/log"; fail "the example of a backend does not build"; }
    find "$scratch/backend-build" -name 'marty-*.so' | grep . || fail "the example of a backend made no module"
    make -C "$scratch/backend" >"$scratch/log" 2>&1 || { cat "$scratch/log"; fail "its Makefile does not build it"; }
    if [ -x "$build/tests/conformance/conformance" ]; then
        echo "-- the suite on that backend: what its claims touch"
        for contract in C01 C02 C03 C04 C05 C06 C07 C08 C11 C12 C20 C23 C24 C25 C26 C32; do
            MARTY_SUITE_ONE_PROCESS=1 MARTY_MODULE_PATH=$scratch/backend-build \
                "$build/tests/conformance/conformance" --backend 'loop:%t' --contract $contract >"$scratch/log" 2>&1 ||
                { grep -A 9 '^not ok' "$scratch/log"; fail "$contract fails on the example of a backend"; }
            echo "$contract $(tail -1 "$scratch/log")"
        done
    fi
fi
echo "install: fine"
