#!/usr/bin/env bash
# Builds the CUDA backend for the GPU of this machine, checks it, times it: pools of adapters, then the language-model
# decoder. Needs nvcc and a C++ compiler, and the decoder cuBLAS; with compute-sanitizer memory and races are checked,
# with Python the decoder is held against PyTorch's goldens, with Node and a built package the whole TypeScript
# conformance suites run, and with PyTorch the same step is timed there. What is absent is named in the results, and so is
# every failure; what fails a check is not timed.
#
#   bench/gpu.sh [--results FOLDER]    everything goes to FOLDER/gpu-<UTC time>.txt, by default bench/results
#   bench/gpu.sh --only pools|decoder  one of the two, for machines that are lent for minutes
#   bench/gpu.sh --host-shim           the same checks with the kernels run on the host: no GPU, no times, no file
#   bench/gpu.sh --host-shim --races   a few of them under ThreadSanitizer, for which the blocks of a cluster are threads
#
# Exit status: 0 when all that could be checked passed, 1 when something failed, 2 when there is no GPU or no nvcc.
set -uo pipefail
cd "$(dirname "$0")/.."

results=bench/results host_shim=0 races=0 only=
while [ $# -gt 0 ]; do
  case $1 in
    --host-shim) host_shim=1 ;;
    --races) races=1 ;;
    --only) only=${2:?pools or decoder}; shift ;;
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
decoder_sources="native/cuda/decoder/adapter.cc native/cuda/decoder/cache.cc native/cuda/decoder/engine.cc
  native/cuda/decoder/lora.cc native/cuda/decoder/model.cc native/cuda/decoder/pass.cc
  native/cuda/decoder/pass_memory.cc native/cuda/decoder/products.cc native/cuda/decoder/steps.cc
  native/cuda/decoder/table.cc native/cuda/decoder/tiles.cc native/decoder/targets.cc native/decoder/weight_rows.cc
  native/decoder/weights.cc"
timing_sources="native/cuda/tools/kernel_times.cc native/cuda/plan.cc native/cuda/settings.cc"
pool_checks=$(ls native/cuda/test/*.cc | grep -v /decoder_)
exports=-Wl,--version-script=native/cuda/exports.map

sanitize=()
[ $races = 1 ] && sanitize=(-g -fsanitize=thread)

build_driver() {
  # shellcheck disable=SC2086
  "$cxx" -std=c++17 -O1 -Wall -Wextra ${sanitize[0]+"${sanitize[@]}"} -Inative/include $pool_checks \
    -o $build/driver -ldl -pthread
}

# The C++ decoder, which the CUDA one is compared with, and the program that compares them.
build_decoder_driver() {
  local source flags jobs=() job objects=()
  local level=-O2 avx512='-mavx512f -mavx512vl -mavx512bw -mavx512dq -mavx2 -mfma -mprefer-vector-width=512'
  [ $host_shim = 1 ] && level=-O1
  mkdir -p $build/oracle
  for source in native/cpu/*.cc native/decoder/*.cc; do
    flags=
    case $(uname -m)$source in
      x86_64*_neon.cc | aarch64*_avx*.cc) continue ;;
      *_avx2.cc) flags='-mavx2 -mfma' ;;
      *_avx512bf16.cc) flags="$avx512 -mavx512bf16" ;;
      *_avx512.cc) flags=$avx512 ;;
      *products_baseline.cc) flags=-ffp-contract=off ;;
    esac
    objects+=("$build/oracle/$(basename "$(dirname "$source")")-$(basename "$source" .cc).o")
    # shellcheck disable=SC2086
    "$cxx" -std=c++17 $level -fno-math-errno -w $flags -Inative/include -c "$source" -o "${objects[-1]}" &
    jobs+=($!)
    [ $((${#jobs[@]} % $(nproc))) -eq 0 ] && { wait "${jobs[-1]}" || return 1; }
  done
  for job in "${jobs[@]}"; do wait "$job" || return 1; done
  "$cxx" -std=c++17 -O1 -Wall -Wextra -Inative/include native/cuda/test/decoder_*.cc native/cuda/test/support.cc \
    "${objects[@]}" -o $build/decoder_driver -ldl -pthread
}

build_host_shim() {
  # shellcheck disable=SC2086
  "$cxx" -std=c++17 -O2 -Wall -Wextra ${sanitize[0]+"${sanitize[@]}"} -fPIC -shared -fvisibility=hidden $exports -Inative/include $host_sources \
    $decoder_sources native/cuda/device_host.cc native/cuda/decoder/blas_host.cc native/cuda/decoder/launch_host.cc \
    -o "$module" -pthread &&
    "$cxx" -std=c++17 -O2 -Wall -Wextra ${sanitize[0]+"${sanitize[@]}"} -Inative/include $timing_sources \
      native/cuda/device_host.cc -o $build/kernel_times -pthread
}

build_cuda() {
  # shellcheck disable=SC2086
  nvcc -std=c++17 -O3 -lineinfo "-arch=sm_$architecture" -Xptxas -v -Xcompiler -fPIC,-fvisibility=hidden -Inative/include \
    -c native/cuda/device_cuda.cu -o $build/device.o &&
    nvcc -std=c++17 -O3 -lineinfo "-arch=sm_$architecture" -Xptxas -v -Xcompiler -fPIC,-fvisibility=hidden -Inative/include \
      -c native/cuda/decoder/launch_cuda.cu -o $build/launch.o &&
    nvcc -std=c++17 -O3 "-arch=sm_$architecture" -Xcompiler -fPIC,-fvisibility=hidden -shared -cudart static \
      -Xlinker "${exports#-Wl,}" -Inative/include $host_sources $decoder_sources \
      native/cuda/decoder/blas_cublas.cc $build/device.o $build/launch.o -o "$module" -ldl &&
    nvcc -std=c++17 -O2 "-arch=sm_$architecture" -Inative/include $timing_sources $build/device.o -o $build/kernel_times &&
    nvcc -O2 "-arch=sm_$architecture" native/cuda/test/copy_bandwidth.cu -o $build/copy_bandwidth
}

# Everything together has 9 minutes: limited <most seconds> <command…>
limited() {
  local most=$1 left=$((530 - SECONDS))
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

# ---- pools of adapters ------------------------------------------------------------------------------------------------
# sanitize <program>: its small run under the tools of compute-sanitizer
sanitize_with_device() {
  local tool
  [ $host_shim = 1 ] && return
  if ! command -v compute-sanitizer >/dev/null; then
    note 'compute-sanitizer' 'not run: not on PATH'
    return
  fi
  for tool in memcheck racecheck; do
    step "compute-sanitizer $tool, $(basename "$1")" limited 60 compute-sanitizer --tool $tool --error-exitcode 1 "$1" "$module" small
  done
}

# why_no_node: why a suite in TypeScript cannot run here, if it cannot
why_no_node() {
  if ! command -v node >/dev/null; then
    echo 'not run: no node'
  elif [ ! -f dist/testing/run-kernels.js ] || [ -z "$(find build/Release prebuilds -name '*.node' 2>/dev/null)" ]; then
    echo 'not run: no built package (npm run build)'
  fi
}

check_pools() {
  local why
  step 'oracle and PyTorch goldens' limited 150 "$build/driver" "$module" check test/golden/kernels.txt
  sanitize_with_device "$build/driver"
  why=$(why_no_node)
  if [ -n "$why" ]; then
    note 'TypeScript conformance' "$why"
  else
    step 'TypeScript conformance' env LORAKEET_CUDA_MODULE="$module" node dist/testing/run-kernels.js --backend cuda \
      --goldens test/golden/kernels.json
  fi
}

time_pools() {
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

# ---- the language-model decoder ---------------------------------------------------------------------------------------
# Where cuBLAS is not where the loader looks, PyTorch's own may be there.
find_cublas() {
  local file
  [ $host_shim = 1 ] || [ -n "${LORAKEET_CUBLAS:-}" ] && return
  "$build/decoder_driver" "$module" name >/dev/null 2>&1 && return
  file=$(find /usr /opt /root /home -name 'libcublas.so.1[23]' 2>/dev/null | head -n 1)
  [ -z "$file" ] && return
  say "cuBLAS: $file"
  export LORAKEET_CUBLAS=$file LD_LIBRARY_PATH="$(dirname "$file")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
}

check_decoder() {
  local goldens=$build/llm-goldens.txt why
  if ! command -v python3 >/dev/null; then
    note 'decoder: PyTorch goldens' 'not run: no python3'
    goldens=
  else
    step 'decoder: reading the goldens' python3 native/cuda/test/flatten_llm_goldens.py test/golden/llm $goldens || goldens=
  fi
  # the larger shapes are too slow for the host
  # shellcheck disable=SC2086
  step 'decoder: oracle and PyTorch goldens' limited 120 "$build/decoder_driver" "$module" \
    "$([ $host_shim = 1 ] && echo small || echo check)" $goldens
  sanitize_with_device "$build/decoder_driver"
  why=$(why_no_node)
  if [ -n "$why" ]; then
    note 'decoder: TypeScript conformance' "$why"
  elif [ ! -f node_modules/vitest/vitest.mjs ]; then
    note 'decoder: TypeScript conformance' 'not run: no vitest (npm install)'
  elif [ $host_shim = 1 ]; then
    note 'decoder: TypeScript conformance' 'by npm test (test/llm/decoder/cuda-host.test.ts)'
  else
    step 'decoder: TypeScript conformance' limited 120 env LORAKEET_CUDA_MODULE="$module" LORAKEET_REQUIRE=cuda \
      node node_modules/vitest/vitest.mjs run test/llm/decoder/cuda.test.ts
  fi
}

time_decoder() {
  step 'decoder: times' limited 120 "$build/decoder_driver" "$module" time 80
  while read -r line; do summary+=("$line"); done < <(grep -E '^(train|decode) ' "$log")
}

# timed <check> <time>: what fails a check is not timed
timed() {
  local before=$status
  status=0
  "$1"
  if [ $host_shim = 1 ]; then
    note "times (${2#time_})" 'none: host shim'
  elif [ $status != 0 ]; then
    note "times (${2#time_})" 'none: what fails a check is not timed'
  else
    "$2"
  fi
  [ "$before" != 0 ] && status=$before
}

# ---- build, check, time -----------------------------------------------------------------------------------------------
if [ $host_shim = 1 ]; then step 'build of the module' build_host_shim || finish
else step 'build of the module' build_cuda || finish; fi
if [ "$only" != decoder ]; then
  step 'build of the driver' build_driver || finish
  step 'device' "$build/driver" "$module" name || finish
  if [ $races = 1 ]; then
    step 'races between blocks' "$build/driver" "$module" small
    finish 'results of the host shim under ThreadSanitizer'
  fi
  timed check_pools time_pools
  [ $host_shim = 1 ] && step 'the program that times kernels' $build/kernel_times 1 100000
fi
if [ "$only" != pools ] && step 'decoder: build of the driver' build_decoder_driver; then
  find_cublas
  if step 'decoder: device' "$build/decoder_driver" "$module" name; then timed check_decoder time_decoder; fi
fi
finish "$([ $host_shim = 1 ] && echo 'results of the host shim' || echo "results on $gpu")"
