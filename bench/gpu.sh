#!/usr/bin/env bash
# Builds the CUDA backend for the GPU of this machine, checks it, times it. Needs nvcc and a C++ compiler; with
# compute-sanitizer memory and races are checked, with Node and a built package the whole TypeScript conformance suite,
# and with PyTorch the same step is timed there. What is absent is named in the results, and so is every failure; a
# backend that fails a check is not timed.
#
#   bench/gpu.sh [--results FOLDER]    everything goes to FOLDER/gpu-<UTC time>.txt, by default bench/results
#   bench/gpu.sh --host-shim           the same checks with the kernels run on the host: no GPU, no times, no file
#   bench/gpu.sh --host-shim --races   a few of them under ThreadSanitizer, for which the blocks of a cluster are threads
#
# Exit status: 0 when all that could be checked passed, 1 when something failed, 2 when there is no GPU or no nvcc.
set -uo pipefail
cd "$(dirname "$0")/.."

results=bench/results host_shim=0 races=0
while [ $# -gt 0 ]; do
  case $1 in
    --host-shim) host_shim=1 ;;
    --races) races=1 ;;
    --results) results=${2:?a folder}; shift ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 64 ;;
  esac
  shift
done

export PATH="$PATH:/usr/local/cuda/bin"
cxx=${CXX:-c++}
build=build/gpu
mkdir -p "$build"
log=$build/log.txt
: >"$log"
summary=() status=0

say() { echo "$*" | tee -a "$log"; }

# note <what> <verdict>: a line of the table at the end
note() {
  summary+=("$(printf '%-34s %s' "$1" "$2")")
  case $2 in FAILED*) status=1 ;; esac
}

# step <what> <command…>: runs it, keeps its output, notes the verdict; its last line stands beside `passed`
step() {
  local name=$1 output code
  shift
  say "=== $name"
  output=$("$@" 2>&1)
  code=$?
  say "$output"
  if [ $code -eq 0 ]; then note "$name" "passed  $(tail -n 1 <<<"$output" | cut -c1-90)"; else note "$name" "FAILED (status $code)"; fi
  return $code
}

finish() {
  say ''
  say "--- ${1:-results}"
  printf '%s\n' "${summary[@]}" | tee -a "$log"
  if [ "$host_shim" = 0 ]; then
    mkdir -p "$results" && cp "$log" "$results/gpu-$(date -u +%Y-%m-%dT%H%M%SZ).txt"
  fi
  exit $status
}

host_sources="native/cuda/module.cc native/cuda/pool.cc native/cuda/lane.cc native/cuda/slot_table.cc
  native/cuda/settings.cc native/cuda/plan.cc native/cpu/crew.cc"
timing_sources="native/cuda/tools/kernel_times.cc native/cuda/plan.cc native/cuda/settings.cc"
exports=-Wl,--version-script=native/cuda/exports.map

sanitize=()
[ $races = 1 ] && sanitize=(-g -fsanitize=thread)

build_driver() {
  "$cxx" -std=c++17 -O1 -Wall -Wextra ${sanitize[0]+"${sanitize[@]}"} -Inative/include native/cuda/test/*.cc \
    -o $build/driver -ldl -pthread
}

build_host_shim() {
  # shellcheck disable=SC2086
  "$cxx" -std=c++17 -O2 -Wall -Wextra ${sanitize[0]+"${sanitize[@]}"} -fPIC -shared -fvisibility=hidden $exports -Inative/include $host_sources \
    native/cuda/device_host.cc -o "$module" -pthread &&
    "$cxx" -std=c++17 -O2 -Wall -Wextra ${sanitize[0]+"${sanitize[@]}"} -Inative/include $timing_sources \
      native/cuda/device_host.cc -o $build/kernel_times -pthread
}

build_cuda() {
  # shellcheck disable=SC2086
  nvcc -std=c++17 -O3 -lineinfo "-arch=sm_$architecture" -Xptxas -v -Xcompiler -fPIC,-fvisibility=hidden -Inative/include \
    -c native/cuda/device_cuda.cu -o $build/device.o &&
    nvcc -std=c++17 -O3 "-arch=sm_$architecture" -Xcompiler -fPIC,-fvisibility=hidden -shared -cudart static \
      -Xlinker "${exports#-Wl,}" -Inative/include $host_sources $build/device.o -o "$module" &&
    nvcc -std=c++17 -O2 "-arch=sm_$architecture" -Inative/include $timing_sources $build/device.o -o $build/kernel_times &&
    nvcc -O2 "-arch=sm_$architecture" native/cuda/test/copy_bandwidth.cu -o $build/copy_bandwidth
}

# Everything together has 8 minutes: limited <most seconds> <command…>
limited() {
  local most=$1 left=$((470 - SECONDS))
  shift
  [ $left -lt 1 ] && left=1
  timeout $((left < most ? left : most)) "$@"
}

# ---- where we are -----------------------------------------------------------------------------------------------------
if [ $host_shim = 1 ]; then
  module=$PWD/$build/liblorakeet_cuda_host.so
  say 'host shim: the kernels run on the host; nothing here says anything about a GPU'
else
  module=$PWD/$build/liblorakeet_cuda.so
  if ! gpu=$(nvidia-smi --query-gpu=name,compute_cap,driver_version,memory.total --format=csv,noheader 2>/dev/null | head -n 1) ||
    [ -z "$gpu" ]; then
    echo 'no GPU found (nvidia-smi shows none): nothing built, nothing measured' >&2
    exit 2
  fi
  if ! command -v nvcc >/dev/null; then
    echo 'no nvcc on PATH or in /usr/local/cuda/bin: nothing built, nothing measured' >&2
    exit 2
  fi
  architecture=$(cut -d, -f2 <<<"$gpu" | tr -d ' .')
  say "GPU: $gpu"
  say "$(nvcc --version | tail -n 2 | head -n 1)"
fi
say "date: $(date -u +%Y-%m-%dT%H:%M:%SZ)"
say "commit: $(git rev-parse --short HEAD 2>/dev/null || echo unknown)$([ -n "$(git status --porcelain -- native bench test/golden 2>/dev/null)" ] && echo ' with uncommitted changes')"

# ---- build and check --------------------------------------------------------------------------------------------------
step 'build of the driver' build_driver || finish
if [ $host_shim = 1 ]; then step 'build of the module' build_host_shim || finish
else step 'build of the module' build_cuda || finish; fi
step 'device' "$build/driver" "$module" name || finish

goldens=test/golden/kernels.txt
if [ $races = 1 ]; then
  step 'races between blocks' "$build/driver" "$module" small
  finish 'results of the host shim under ThreadSanitizer'
fi
step 'oracle and PyTorch goldens' limited 150 "$build/driver" "$module" check $goldens

if [ $host_shim = 0 ]; then
  if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck; do
      step "compute-sanitizer $tool" limited 60 compute-sanitizer --tool $tool --error-exitcode 1 "$build/driver" "$module" small
    done
  else
    note 'compute-sanitizer' 'not run: not on PATH'
  fi
fi

if ! command -v node >/dev/null; then
  note 'TypeScript conformance' 'not run: no node'
elif [ ! -f dist/testing/run-kernels.js ] || [ -z "$(find build/Release prebuilds -name '*.node' 2>/dev/null)" ]; then
  note 'TypeScript conformance' 'not run: no built package (npm run build)'
else
  step 'TypeScript conformance' env LORAKEET_CUDA_MODULE="$module" node dist/testing/run-kernels.js --backend cuda \
    --goldens test/golden/kernels.json
fi

# ---- time -------------------------------------------------------------------------------------------------------------
time_everything() {
  local copy upload
  if ! read -r copy upload < <($build/copy_bandwidth); then
    note 'times' 'FAILED: the ceilings could not be measured'
    return
  fi
  note 'copy bandwidth' "$copy GB/s"
  note 'transfer rate' "$upload GB/s"
  step 'times of the kernels' limited 120 $build/kernel_times "$copy"
  step 'times of whole calls' limited 90 "$build/driver" "$module" time "$copy" "$upload"
  if command -v python3 >/dev/null && python3 -c 'import torch' 2>/dev/null; then
    step 'PyTorch' limited 90 python3 bench/peers/gpu_torch.py --seconds 60
  else
    note 'PyTorch' 'not run: no python3 with torch'
  fi
  while read -r line; do summary+=("$line"); done < <(grep -E '^(kernel|update|apply|rows|torch) ' "$log")
}

if [ $host_shim = 1 ]; then
  step 'the program that times kernels' $build/kernel_times 1 100000
  note 'times' 'none: host shim'
elif [ $status != 0 ]; then
  note 'times' 'none: a backend that fails a check is not timed'
else
  time_everything
fi
finish "$([ $host_shim = 1 ] && echo 'results of the host shim' || echo "results on $gpu")"
