#!/usr/bin/env bash
# What the assembler says about the CUDA kernels, without a GPU: registers of every kernel, and a failure for any that
# spills registers or keeps anything on a stack. For the five main configurations also what that and shared memory leave
# room for on one multiprocessor. Needs nvcc.
#
#   bench/ptxas.sh [ARCHITECTURE…]     by default 90
#
# Exit status: 0 when nothing spills, 1 when something does or does not compile, 2 when there is no nvcc.
set -uo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:/usr/local/cuda/bin"
if ! command -v nvcc >/dev/null; then
  echo 'no nvcc on PATH or in /usr/local/cuda/bin: the kernels were not looked at' >&2
  exit 2
fi
[ $# -gt 0 ] || set -- 90
build=build/ptxas
mkdir -p $build

# The compiler's report as `<kernel> <registers> <bytes of stack> <bytes spilled>`. A kernel of the decoder has the name
# of its arguments.
report() {
  c++filt | awk '
    /Compiling entry function/ {
      gsub(/lorakeet::(cuda::)?(decoder::)?/, "")
      match($0, /[a-z]+_kernel(<([^<>]|<[^<>]*>)*>)?/)
      kernel = substr($0, RSTART, RLENGTH)
    }
    /bytes stack frame/ { stack = $1; spilled = $5 + $9 }
    /Used [0-9]+ registers/ {
      match($0, /Used [0-9]+/); gsub(/ /, "", kernel)
      print kernel, substr($0, RSTART + 5, RLENGTH - 5), stack, spilled
    }'
}

status=0
for architecture in "$@"; do
  log=$build/sm_$architecture.txt
  : >"$log"
  for source in native/cuda/device_cuda.cu native/cuda/decoder/launch_cuda.cu; do
    if ! nvcc -std=c++17 -O3 "-arch=sm_$architecture" -Xptxas -v -Inative/include -c "$source" -o $build/device.o >>"$log" 2>&1; then
      cat "$log"
      status=1
      continue 2
    fi
  done
  report <"$log" | sort >$build/table.txt
  # A report that cannot be read must not pass for one without spills.
  if [ "$(grep -c . $build/table.txt)" -lt 34 ]; then
    echo "sm_$architecture: the report of ptxas lists fewer kernels than there are"
    status=1
  fi
  while read -r kernel registers stack spilled; do
    verdict=ok
    if [ "$stack" != 0 ] || [ "$spilled" != 0 ]; then verdict="FAILED: $stack bytes of stack, $spilled spilled" status=1; fi
    printf 'sm_%-4s %-32s %4s registers  %s\n' "$architecture" "$kernel" "$registers" "$verdict"
  done <$build/table.txt
done

"${CXX:-c++}" -std=c++17 -O1 -Inative/include native/cuda/tools/plans.cc native/cuda/plan.cc native/cuda/settings.cc \
  -o $build/plans && $build/plans "$(awk '$1 == "update_kernel<true,float>" { print $2 }' $build/table.txt)" || status=1
exit $status
