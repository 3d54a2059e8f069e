// Times one kernel through its C table, with no JavaScript around, and prints ns per user. What a call from TypeScript
// takes beyond this is the cost of the way there.
//
//   lorakeet_kernel_time ISA apply|update sgd|adamw DIM RANK USERS ROWS_PER_USER

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "own_kernel.h"
#include "timing.h"

using namespace lorakeet;

int main(int argc, char** argv) try {
  const lorakeet_kernels* kernels = argc == 8 ? kernels_named(argv[1]) : nullptr;
  if (!kernels) {
    fprintf(stderr, "usage: lorakeet_kernel_time ISA apply|update sgd|adamw DIM RANK USERS ROWS_PER_USER\n");
    return 2;
  }
  const bool update = strcmp(argv[2], "update") == 0;
  const bool adamw = strcmp(argv[3], "adamw") == 0;
  const auto number = [argv](int i) { return static_cast<uint32_t>(strtoul(argv[i], nullptr, 10)); };
  const uint32_t dim = number(4), rank = number(5), users = number(6), rows_per_user = number(7);

  Random random;
  const Floats slab = random_slab(dim, rank, adamw, random);
  const size_t floats = static_cast<size_t>(users) * rows_per_user * dim;
  const Floats x = random.floats(floats, 1.7f), target = random.floats(floats, 1.7f);
  Floats y(floats);
  OwnKernel kernel(*kernels, dim, rank, users, rows_per_user, adamw, slab.data(), x.data(), target.data(), y.data());
  const double seconds = median_seconds(1e-3, 41, [&] { update ? kernel.update() : kernel.apply(); });
  kernel.require_no_rejected_step();
  printf("%.3f\n", 1e9 * seconds / users);
  return 0;
} catch (const std::exception& error) {
  fprintf(stderr, "%s\n", error.what());
  return 1;
}
