// The addon's exports: the kernel contract's operations on pools known by number, the decoder's on its objects, and
// what is needed around them. src/kernels/native.ts and src/llm/decoder/native are the only callers; they give these
// functions their types.

#include <napi.h>

#include "decoder.h"
#include "dense.h"
#include "modules.h"
#include "pools.h"
#include "run.h"

namespace {

using namespace lorakeet;

struct Export {
  const char* name;
  napi_callback function;
};

constexpr Export kExports[] = {
    {"createPool", create_pool},
    {"closePool", close_pool},
    {"memoryBytes", memory_bytes},
    {"firstNonFinite", first_non_finite},
    {"misalignment", misalignment},
    {"multiply", multiply},
    {"symmetricEigen", symmetric_eigen},
    {"magnitudeAt", magnitude_at},
    {"mergeEntries", merge_entries},
    {"write", write},
    {"read", read},
    {"copy", copy},
    {"clear", clear},
    {"bindItems", bind_items},
    {"apply", apply},
    {"update", update},
    {"consolidate", consolidate},
    {"applyAsync", apply_async},
    {"updateAsync", update_async},
    {"consolidateAsync", consolidate_async},
    {"createModel", create_model},
    {"closeModel", close_model},
    {"modelBytes", model_bytes},
    {"writeWeights", write_weights},
    {"createAdapter", create_adapter},
    {"closeAdapter", close_adapter},
    {"writeAdapter", write_adapter},
    {"readAdapter", read_adapter},
    {"stepAdapter", step_adapter},
    {"addFisher", add_fisher},
    {"createPass", create_pass},
    {"closePass", close_pass},
    {"passBytes", pass_bytes},
    {"forward", forward},
    {"backward", backward},
    {"createCache", create_cache},
    {"closeCache", close_cache},
    {"cacheBytes", cache_bytes},
    {"truncateCache", truncate_cache},
    {"decode", decode},
};

// Runs once per environment: on the main thread and again in every worker thread that loads the addon.
Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  pin_module();
  env.SetInstanceData(new Environment);
  exports.Set("info", Napi::Function::New(env, info, "info"));
  for (const Export& entry : kExports) {
    // The plain C form: a wrapper around every kernel call would cost as much as a small kernel.
    napi_value function;
    napi_create_function(env, entry.name, NAPI_AUTO_LENGTH, entry.function, nullptr, &function);
    exports.Set(entry.name, function);
  }
  return exports;
}

}  // namespace

NODE_API_MODULE(lorakeet, initialize)
