#!/usr/bin/env bash
# Runs the kernels' tests as arm64 runs them, under qemu-user: the same tests, against the same digests, as natively.
#
#   tests/arm64.sh
#
# Twice, because V8 compiles the relaxed dot product in two ways there: for a CPU that has the instruction (sdot:
# Raspberry Pi 5, Apple, servers) and for one that does not (Raspberry Pi 4). Only V8's optimising compiler uses it,
# which short tests would not reach, so its first compiler is switched off; a third run has nothing but that one.
#
# Needs npx, python3 with pip, qemu-aarch64 and the C library of arm64; exits with 2 where one is missing.
#   DENO_ARM64      Deno for arm64 Linux; by default PyPI's of the pinned version, kept in XDG_CACHE_HOME
#   QEMU_LD_PREFIX  folder of arm64's lib, by default /usr/aarch64-linux-gnu
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null
export NO_COLOR=1 npm_config_loglevel=error npm_config_update_notifier=false DENO_NO_UPDATE_CHECK=1
export QEMU_LD_PREFIX=${QEMU_LD_PREFIX:-/usr/aarch64-linux-gnu}

readonly VERSION=2.9.5 # as in README
readonly WHEEL_SHA256=bccec0965917b6daa323f9ce6ad8e884e0854506b0cdaec9de41bdac7620109a
readonly CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/mdi-arm64-deno-$VERSION
readonly WITH_DOT=neoverse-n1 WITHOUT_DOT=cortex-a72

# Whole decoders and single products: small, and their digests cover every kind of weights and cache.
readonly GOLDEN=(wasm/simd/golden_test.ts wasm/simd/linear_test.ts)
# All of it but what measures time (pool_test.ts); bits_test.ts has up to three threads.
readonly ALL=("${GOLDEN[@]}" wasm/simd/*_kernel_test.ts wasm/simd/bits_test.ts)

missing() {
  printf 'Cannot test arm64: %s is missing; %s\n' "$1" "$2" >&2
  exit 2
}

need_tools() {
  command -v npx >/dev/null || missing npx "install Node.js"
  command -v qemu-aarch64 >/dev/null || missing qemu-aarch64 "install Debian's qemu-user, or your system's like it"
  local library
  for library in libc.so.6 libgcc_s.so.1; do
    [[ -e $QEMU_LD_PREFIX/lib/$library ]] ||
      missing "$QEMU_LD_PREFIX/lib/$library" \
        "install Debian's libc6-arm64-cross and libgcc-s1-arm64-cross, or set QEMU_LD_PREFIX"
  done
}

# Prints the path of an arm64 Deno; PyPI's wheel, checked against its hash, holds nothing but that program.
arm64_deno() {
  if [[ -n ${DENO_ARM64:-} ]]; then
    [[ -x $DENO_ARM64 ]] || missing "$DENO_ARM64" "set DENO_ARM64 to a Deno for arm64 Linux"
    echo "$DENO_ARM64"
    return
  fi
  local deno=$CACHE/deno
  if [[ ! -x $deno ]]; then
    command -v python3 >/dev/null || missing python3 "install it with pip, or set DENO_ARM64"
    local work=$CACHE/partial.$$
    mkdir -p "$work"
    echo "deno==$VERSION --hash=sha256:$WHEEL_SHA256" >"$work/requirements.txt"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
      --platform manylinux_2_27_aarch64 --require-hashes -r "$work/requirements.txt" -d "$work" >&2 ||
      missing "Deno $VERSION for arm64" "set DENO_ARM64 to one"
    python3 -m zipfile -e "$work"/deno-*.whl "$work"
    chmod +x "$work/deno-$VERSION.data/scripts/deno"
    mv "$work/deno-$VERSION.data/scripts/deno" "$deno"
    rm -r "$work"
  fi
  echo "$deno"
}

# emulated CPU V8_FLAG TEST…: the tests as that CPU runs them. Types were checked natively.
emulated() {
  local cpu=$1 flag=$2
  shift 2
  printf '\n== %s, %s\n' "$cpu" "$flag"
  QEMU_CPU=$cpu DENO_DIR=$CACHE/deno_dir \
    qemu-aarch64 "$deno" test -A --no-check --frozen --v8-flags="$flag" "$@"
}

need_tools
deno=$(arm64_deno)

# Also builds the tests' own kernels and node_modules, so that nothing is left to fetch or to build.
printf '== native\n'
npx -y "deno@$VERSION" test -A --frozen "${ALL[@]}"

emulated "$WITH_DOT" --no-liftoff "${ALL[@]}"
emulated "$WITHOUT_DOT" --no-liftoff "${ALL[@]}"
emulated "$WITHOUT_DOT" --liftoff-only "${GOLDEN[@]}"
