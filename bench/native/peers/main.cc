// Serves the peers that were found when this was built. Requests are lines on standard input, some followed by 32-bit
// floats; every answer is a line with a count and as many floats, or `error` and a message.
//
//   names                                             -> line with `NAME=VERSION` separated by tabs
//   check PEER apply|update DIM RANK USERS ROWS       one call, on data that follows: learning rate, clipping bound and
//   λ of
//                                                     every user, slabs as src/kernels/layout.ts lays them out, x,
//                                                     target
//                                                     -> y; or slabs, losses, gradient norms, and 1 for each clipped
//   time PEER,… apply|update DIM RANK USERS ROWS      -> ns per user of each, measured in turn; `lorakeet:ISA` is ours
//
// bench/peers/torch_peer.py answers the same requests.

#include <stdio.h>
#include <string.h>

#include <iostream>
#include <memory>
#include <sstream>

#include "../own_kernel.h"
#include "../timing.h"
#include "peer.h"

using namespace lorakeet;

namespace {

const std::string kOwn = "lorakeet:";

std::vector<const Peer*> all_peers() {
  return {
#ifdef LORAKEET_OPENBLAS
      openblas_peer(),
#endif
#ifdef LORAKEET_EIGEN
      eigen_peer(),
#endif
      naive_peer()};
}

const Peer& peer_named(const std::string& name) {
  for (const Peer* peer : all_peers()) {
    if (name == peer->name) return *peer;
  }
  throw std::runtime_error("no peer " + name);
}

struct Request {
  std::string peers, operation;
  PeerShape shape;
  uint32_t users, rows;
  bool update() const { return operation == "update"; }
  size_t row_floats() const { return static_cast<size_t>(rows) * shape.dim; }
};

Request parse(std::istringstream& line) {
  Request r;
  line >> r.peers >> r.operation >> r.shape.dim >> r.shape.rank >> r.users >> r.rows;
  if (!line || !r.shape.dim || !r.shape.rank || !r.users || !r.rows || (!r.update() && r.operation != "apply")) {
    throw std::runtime_error("not a request");
  }
  r.shape.scaling = 1.0f / static_cast<float>(r.shape.rank);
  return r;
}

// B between [dim][rank], as it is exchanged, and [rank][dim], in every section of a state.
void transpose_b(const PeerShape& shape, float* state, bool to_rank_major) {
  std::vector<float> b(shape.matrix());
  for (int section = 0; section < 3; section++) {
    float* stored = state + section * shape.section() + shape.matrix();
    for (uint32_t o = 0; o < shape.dim; o++) {
      for (uint32_t k = 0; k < shape.rank; k++) {
        const size_t exchanged = o * shape.rank + k, by_rank = k * shape.dim + o;
        b[to_rank_major ? by_rank : exchanged] = stored[to_rank_major ? exchanged : by_rank];
      }
    }
    std::copy(b.begin(), b.end(), stored);
  }
}

std::vector<float> read_floats(size_t count) {
  std::vector<float> values(count);
  std::cin.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(count * sizeof(float)));
  if (!std::cin) throw std::runtime_error("the request's data ended early");
  return values;
}

std::vector<float> check(const Request& r) {
  const std::vector<float> steps = read_floats(3 * r.users);
  std::vector<float> states = read_floats(r.users * r.shape.state());
  const std::vector<float> x = read_floats(r.users * r.row_floats()), target = read_floats(r.users * r.row_floats());
  const Peer& peer = peer_named(r.peers);
  std::vector<float> scratch(r.shape.scratch(r.rows)), y(x.size()), losses, norms, clipped;
  for (uint32_t user = 0; user < r.users; user++) {
    float* state = &states[user * r.shape.state()];
    const float *user_x = &x[user * r.row_floats()], *user_target = &target[user * r.row_floats()];
    if (peer.b_by_rank) transpose_b(r.shape, state, true);
    if (r.update()) {
      const PeerStep step{steps[3 * user], steps[3 * user + 1], steps[3 * user + 2]};
      const PeerReport report = peer.update(r.shape, state, user_x, user_target, r.rows, step, scratch.data());
      losses.push_back(report.loss);
      norms.push_back(report.grad_norm);
      clipped.push_back(report.clipped);
      if (peer.b_by_rank) transpose_b(r.shape, state, false);
    } else {
      peer.apply(r.shape, state, user_x, r.rows, &y[user * r.row_floats()], scratch.data());
    }
  }
  if (!r.update()) return y;
  for (const auto* part : {&losses, &norms, &clipped}) states.insert(states.end(), part->begin(), part->end());
  return states;
}

const lorakeet_kernels& own_kernels(const std::string& name) {
  const lorakeet_kernels* kernels = kernels_named(name.c_str() + kOwn.size());
  if (!kernels) throw std::runtime_error("no kernels " + name);
  return *kernels;
}

std::function<void()> body_of(const std::string& name, const Request& r, const Floats& slab, const Floats& x,
                              const Floats& target, Floats& y) {
  if (name.rfind(kOwn, 0) == 0) {
    const auto kernel = std::make_shared<OwnKernel>(own_kernels(name), r.shape.dim, r.shape.rank, r.users, r.rows,
                                                    false, slab.data(), x.data(), target.data(), y.data());
    if (r.update()) return [kernel] { kernel->update(); };
    return [kernel] { kernel->apply(); };
  }
  const Peer* peer = &peer_named(name);
  Floats state = slab;
  if (peer->b_by_rank) transpose_b(r.shape, state.data(), true);
  // aligned, with room for all users one after another, as a pool has it
  constexpr size_t kLine = 64 / sizeof(float);
  const size_t floats = (r.users * state.size() + r.shape.scratch(r.rows) + 2 * kLine);
  const std::shared_ptr<float> block(static_cast<float*>(aligned_alloc(64, (floats + kLine) / kLine * 64)), free);
  if (!block) throw std::bad_alloc();
  for (uint32_t user = 0; user < r.users; user++) {
    std::copy(state.begin(), state.end(), block.get() + user * state.size());
  }
  return [=, &x, &target, &y] {
    const PeerStep step{1e-3f, 1, 0.5f};
    float* scratch = block.get() + (r.users * r.shape.state() + kLine - 1) / kLine * kLine;
    for (uint32_t user = 0; user < r.users; user++) {
      float* state = block.get() + user * r.shape.state();
      const size_t at = user * r.row_floats();
      if (r.update()) {
        peer->update(r.shape, state, &x[at], &target[at], r.rows, step, scratch);
      } else {
        peer->apply(r.shape, state, &x[at], r.rows, &y[at], scratch);
      }
    }
  };
}

std::vector<float> time_in_turn(const Request& r) {
  Random random;
  const Floats slab = random_slab(r.shape.dim, r.shape.rank, false, random);
  const Floats x = random.floats(r.users * r.row_floats(), 1.7f);
  const Floats target = random.floats(x.size(), 1.7f);
  Floats y(x.size());
  std::vector<std::function<void()>> bodies;
  std::istringstream names(r.peers);
  for (std::string name; std::getline(names, name, ',');) bodies.push_back(body_of(name, r, slab, x, target, y));
  std::vector<float> ns;
  for (const double seconds : median_seconds_in_turn(5e-4, 31, bodies)) {
    ns.push_back(static_cast<float>(1e9 * seconds / r.users));
  }
  return ns;
}

void answer(const std::string& request) {
  std::istringstream line(request);
  std::string verb;
  line >> verb;
  if (verb == "names") {
    std::string separator;
    for (const Peer* peer : all_peers()) {
      std::cout << separator << peer->name << '=' << peer->version();
      separator = "\t";
    }
    std::cout << '\n';
    return;
  }
  const Request r = parse(line);
  const std::vector<float> floats = verb == "check" ? check(r) : time_in_turn(r);
  std::cout << floats.size() << '\n';
  std::cout.write(reinterpret_cast<const char*>(floats.data()),
                  static_cast<std::streamsize>(floats.size() * sizeof(float)));
}

}  // namespace

int main() {
  std::ios::sync_with_stdio(false);
  for (std::string request; std::getline(std::cin, request);) {
    try {
      answer(request);
    } catch (const std::exception& error) {
      std::cout << "error " << error.what() << '\n';
    }
    std::cout.flush();
  }
  return 0;
}
