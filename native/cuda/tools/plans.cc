// Prints how the five main configurations are laid over an H200: by bench/ptxas.sh, which knows the registers.
//
//   plans <registers of the update kernel>
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>

#include "../plan.h"
#include "../settings.h"
#include "../update_kernel.h"

using namespace lorakeet::cuda;

int main(int count, char** arguments) {
  const uint32_t registers = count > 1 ? static_cast<uint32_t>(atoi(arguments[1])) : 0;
  if (registers == 0) {
    printf("usage: plans <registers of the update kernel>\n");
    return 64;
  }
  // Of one multiprocessor: registers, given out by 256 to a warp; shared memory, of which each block takes 1 KB more.
  constexpr uint32_t kRegisters = 65536, kShared = 228 << 10, kBlockShared = 227 << 10, kOwn = 1 << 10,
                     kMostBlocks = 32;
  printf("main configurations, SGD and EWC, on 227 KB of shared memory a block:\n");
  bool fine = true;
  for (const auto& [dim, rank] : {std::pair(64u, 4u), {128u, 8u}, {384u, 8u}, {768u, 16u}, {1536u, 16u}}) {
    lorakeet_pool_config config = {};
    config.rank = rank;
    config.in_features = config.out_features = dim;
    config.ewc = LORAKEET_EWC_PROXIMAL;
    const Model model = make_model(config);
    const Plan plan = make_plan(model, {kBlockShared - kOwn, kMostRanks});
    printf("%5u/%-3u %3u threads, %u block%s a user, frame %6.1f KB;", dim, rank, plan.threads, plan.ranks,
           plan.ranks == 1 ? " " : "s", FrameLayout(model).bytes / 1024.0);
    for (const uint32_t rows : {1u, 8u, 16u}) {
      const uint32_t shared = update_shared_floats(model, plan, rows) * static_cast<uint32_t>(sizeof(float));
      const uint32_t warps = plan.threads / kLanes,
                     by_registers = kRegisters / (round_up(registers * kLanes, 256) * warps);
      const uint32_t blocks = std::min({kShared / (shared + kOwn), by_registers, kMostBlocks});
      printf(" n=%u %.1f KB, %u blocks resident;", rows, shared / 1024.0, blocks);
      fine = fine && blocks > 0;
    }
    printf("\n");
    fine = fine && plan.resident;
  }
  if (!fine) printf("FAILED: a main configuration does not fit shared memory\n");
  return fine ? 0 : 1;
}
