// All kernels of the decoder, for those who compile them.
#pragma once

#include "attention_kernels.h"
#include "element_kernels.h"
#include "launch.h"
#include "row_kernels.h"
#include "score_kernel.h"
#include "weight_kernels.h"

#define LORAKEET_DECODER_KERNELS(EACH) \
  EACH(EmbedRows)                      \
  EACH(NormalizeRows)                  \
  EACH(NormalizeBackRows)              \
  EACH(FillAngles)                     \
  EACH(TurnHeads)                      \
  EACH(AddBias)                        \
  EACH(DropRows)                       \
  EACH(ScatterRows)                    \
  EACH(FillZeros)                      \
  EACH(CopyNumbers)                    \
  EACH(RoundNumbers)                   \
  EACH(Swiglu)                         \
  EACH(SwigluBack)                     \
  EACH(Adamw)                          \
  EACH(AddSquares)                     \
  EACH(SumSquares)                     \
  EACH(FewRows<1>)                     \
  EACH(FewRows<4>)                     \
  EACH(FewRows<8>)                     \
  EACH(ExpandRows)                     \
  EACH(Attend)                         \
  EACH(AttendBackQueries)              \
  EACH(AttendBackKeys)                 \
  EACH(ScoreRows)
