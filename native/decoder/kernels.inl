// The passes over rows, once for all instruction sets: each decoder_<isa>.cc includes this file under its own flags.
#pragma once

#include "activations.inl"
#include "kernels.h"
#include "optimizer.inl"
#include "single_rows.inl"
#include "softmax.inl"

namespace {

constexpr lorakeet::DecoderKernels kKernels = {normalize,   normalize_back, turn<false>, turn<true>,      swiglu,
                                               swiglu_back, add_row,        soften,      soften_again,    soften_back,
                                               log_sum,     scaled_softmax, draw,        multiply_vector, attend,
                                               drop,        sum_of_squares, adamw,       add_squares};

}  // namespace
