// What a call computes with: a stream, and products on it. Making one takes a while, so those that are done are kept
// for the next call; two calls at the same time have one each.
#pragma once

#include <memory>

#include "../memory.h"
#include "blas.h"

namespace lorakeet::cuda::decoder {

struct Engine {
  Engine() : blas(stream, workspace.reserve(Blas::kWorkspaceBytes)) {}

  Stream stream;
  Buffer<OnDevice> workspace;
  Blas blas;
};

// Has an engine as long as it lives. Whatever the call left running is waited for before anything that it uses can go,
// so this has to be declared after all of that.
class EngineLease {
 public:
  EngineLease();
  ~EngineLease();
  EngineLease(const EngineLease&) = delete;
  EngineLease& operator=(const EngineLease&) = delete;

  Engine& operator*() const { return *engine_; }
  Engine* operator->() const { return engine_.get(); }

 private:
  std::unique_ptr<Engine> engine_;
};

}  // namespace lorakeet::cuda::decoder
