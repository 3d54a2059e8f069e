// Causal attention with grouped queries: out = softmax(q·kᵀ / √dim)·v, each query with the keys up to its own position.
// Scores never leave shared memory: a block has some queries of one key head and goes through the keys chunk by chunk,
// with a running maximum (Dao et al. 2022); backward computes them again from q, k and the logarithms of their sums.
// The queries of all heads of a group read the same keys, and count as `group` queries of each row.
//
//   q, out and their gradients [rows × heads · dim]; k, v and theirs [rows of keys × key heads · dim];
//   log_sums, along [rows × heads]
#pragma once

#include "../block.h"
#include "../numbers.h"

namespace lorakeet::cuda::decoder {

struct AttentionShape {
  uint32_t heads, key_heads, dim;
  uint32_t queries, keys;  // that a block holds at a time
  float scale;

  LORAKEET_BOTH uint32_t group() const { return heads / key_heads; }
};

// Queries `first` to `first + count` of rows from `row` on; the first row has this position in its sequence, whose keys
// begin at row `key_row`.
struct QueryTile {
  uint32_t row, position, key_row, first, count;
};

// Keys `first` to `first + count` of a sequence that begins at `row` and has `rows` rows.
struct KeyTile {
  uint32_t row, rows, first, count;
};

// Where query m of a tile is.
struct QueryPlace {
  size_t row_head;   // index of row and head in log_sums; times dim, in q
  uint32_t visible;  // keys that it sees
};

LORAKEET_DEVICE QueryPlace query_place(const AttentionShape& shape, uint32_t key_head, uint32_t row, uint32_t position,
                                       uint32_t query) {
  const uint32_t in_part = query / shape.group(), head = key_head * shape.group() + query % shape.group();
  return {(size_t{row} + in_part) * shape.heads + head, position + in_part + 1};
}

// to[i] [count rows of dim numbers, `pitch` apart] = rows of keys or values of one head
LORAKEET_DEVICE void load_keys(const Block& block, const AttentionShape& shape, const float* from, size_t row,
                               uint32_t key_head, uint32_t count, float* to) {
  const uint32_t dim = shape.dim;
  block.for_each(count * dim, [&](uint32_t i) {
    // an odd pitch: neighbouring keys lie in different banks
    to[i / dim * (dim + 1) + i % dim] = from[((row + i / dim) * shape.key_heads + key_head) * dim + i % dim];
  });
}

LORAKEET_DEVICE float dot(const float* a, const float* b, uint32_t n) {
  float sum = 0;
  for (uint32_t i = 0; i < n; i++) sum = multiply_add(a[i], b[i], sum);
  return sum;
}

struct Attend {
  AttentionShape shape;
  const QueryTile* tiles;
  const float *q, *k, *v;
  float* out;
  float* log_sums;  // or null

  static uint32_t floats(uint32_t queries, uint32_t keys, uint32_t dim) {
    return 2 * queries * dim + keys * (dim + 1) + queries * keys + 3 * queries;
  }
  uint32_t shared_floats() const { return floats(shape.queries, shape.keys, shape.dim); }

  LORAKEET_DEVICE void run(const Block& block, uint32_t item) const {
    const QueryTile tile = tiles[item / shape.key_heads];
    const uint32_t key_head = item % shape.key_heads, dim = shape.dim, pitch = dim + 1, stride = shape.keys;
    float* const query = block.shared;
    float* const sum = query + shape.queries * dim;
    float* const key = sum + shape.queries * dim;
    float* const score = key + shape.keys * pitch;
    float *const top = score + shape.queries * stride, *const total = top + shape.queries;
    float* const factor = total + shape.queries;
    const auto place = [&](uint32_t m) {
      return query_place(shape, key_head, tile.row, tile.position, tile.first + m);
    };

    block.for_each(tile.count * dim, [&](uint32_t i) {
      query[i] = q[place(i / dim).row_head * dim + i % dim];
      sum[i] = 0;
    });
    block.for_each(tile.count, [&](uint32_t m) {
      top[m] = -INFINITY;
      total[m] = 0;
    });
    const uint32_t end = place(tile.count - 1).visible;
    for (uint32_t at = 0; at < end; at += shape.keys) {
      const uint32_t count = smaller(shape.keys, end - at);
      const size_t key_row = size_t{tile.key_row} + at;
      load_keys(block, shape, k, key_row, key_head, count, key);
      block.for_each(tile.count * count, [&](uint32_t i) {
        const uint32_t m = i / count, j = i % count;
        score[m * stride + j] =
            at + j < place(m).visible ? shape.scale * dot(query + m * dim, key + j * pitch, dim) : -INFINITY;
      });
      block.largest(
          tile.count,
          [&](uint32_t m, uint32_t lane) {
            float most = -INFINITY;
            for (uint32_t j = lane; j < count; j += kLanes) most = fmaxf(most, score[m * stride + j]);
            return most;
          },
          [&](uint32_t m, float most) {
            // the first key is seen by all, so this is finite from the first chunk on
            const float higher = fmaxf(top[m], most);
            factor[m] = expf(top[m] - higher);
            top[m] = higher;
          });
      block.reduce<1>(
          tile.count,
          [&](uint32_t m, uint32_t lane, float* sums) {
            for (uint32_t j = lane; j < count; j += kLanes) {
              score[m * stride + j] = expf(score[m * stride + j] - top[m]);
              sums[0] += score[m * stride + j];
            }
          },
          [&](uint32_t m, uint32_t, float part) { total[m] = total[m] * factor[m] + part; });
      block.for_each(tile.count * dim, [&](uint32_t i) {
        const float* const shares = score + i / dim * stride;
        const float* value = v + (key_row * shape.key_heads + key_head) * dim + i % dim;
        float result = sum[i] * factor[i / dim];
        for (uint32_t j = 0; j < count; j++, value += size_t{shape.key_heads} * dim) {
          result = multiply_add(shares[j], *value, result);
        }
        sum[i] = result;
      });
    }
    block.for_each(tile.count * dim,
                   [&](uint32_t i) { out[place(i / dim).row_head * dim + i % dim] = sum[i] / total[i / dim]; });
    if (!log_sums) return;
    block.for_each(tile.count, [&](uint32_t m) { log_sums[place(m).row_head] = top[m] + logf(total[m]); });
  }
};

// What both halves of backward read.
struct AttentionBack {
  AttentionShape shape;
  const float *q, *k, *v, *out, *log_sums, *d_out;
  float* along;  // Σ d_out · out of each row and head: written for queries, read for keys

  static uint32_t floats(uint32_t queries, uint32_t keys, uint32_t dim) {
    return 3 * queries * dim + 2 * keys * (dim + 1) + 2 * queries * keys + 2 * queries;
  }
};

// dq. With p = exp(scale·q·k − log_sum) and dp = d_out·v: ds = scale · p · (dp − along), dq = Σ ds·k
struct AttendBackQueries {
  AttentionBack back;
  const QueryTile* tiles;
  float* dq;

  uint32_t shared_floats() const { return back.floats(back.shape.queries, back.shape.keys, back.shape.dim); }

  LORAKEET_DEVICE void run(const Block& block, uint32_t item) const {
    const AttentionShape& shape = back.shape;
    const QueryTile tile = tiles[item / shape.key_heads];
    const uint32_t key_head = item % shape.key_heads, dim = shape.dim, pitch = dim + 1, stride = shape.keys;
    float* const query = block.shared;
    float* const d = query + shape.queries * dim;
    float* const sum = d + shape.queries * dim;
    float *const key = sum + shape.queries * dim, *const value = key + shape.keys * pitch;
    float* const ds = value + shape.keys * pitch;
    float *const log_sum = ds + shape.queries * stride, *const mean = log_sum + shape.queries;
    const auto place = [&](uint32_t m) {
      return query_place(shape, key_head, tile.row, tile.position, tile.first + m);
    };

    block.for_each(tile.count * dim, [&](uint32_t i) {
      const size_t at = place(i / dim).row_head * dim + i % dim;
      query[i] = back.q[at];
      d[i] = back.d_out[at];
      sum[i] = 0;
    });
    block.reduce<1>(
        tile.count,
        [&](uint32_t m, uint32_t lane, float* sums) {
          const float* const out = back.out + place(m).row_head * dim;
          for (uint32_t i = lane; i < dim; i += kLanes) sums[0] = multiply_add(d[m * dim + i], out[i], sums[0]);
        },
        [&](uint32_t m, uint32_t, float part) {
          mean[m] = back.along[place(m).row_head] = part;
          log_sum[m] = back.log_sums[place(m).row_head];
        });
    const uint32_t end = place(tile.count - 1).visible;
    for (uint32_t at = 0; at < end; at += shape.keys) {
      const uint32_t count = smaller(shape.keys, end - at);
      load_keys(block, shape, back.k, size_t{tile.key_row} + at, key_head, count, key);
      load_keys(block, shape, back.v, size_t{tile.key_row} + at, key_head, count, value);
      block.for_each(tile.count * count, [&](uint32_t i) {
        const uint32_t m = i / count, j = i % count;
        float result = 0;
        if (at + j < place(m).visible) {
          const float p = expf(shape.scale * dot(query + m * dim, key + j * pitch, dim) - log_sum[m]);
          result = shape.scale * p * (dot(d + m * dim, value + j * pitch, dim) - mean[m]);
        }
        ds[m * stride + j] = result;
      });
      block.for_each(tile.count * dim, [&](uint32_t i) {
        float result = sum[i];
        for (uint32_t j = 0; j < count; j++) {
          result = multiply_add(ds[i / dim * stride + j], key[j * pitch + i % dim], result);
        }
        sum[i] = result;
      });
    }
    block.for_each(tile.count * dim, [&](uint32_t i) { dq[place(i / dim).row_head * dim + i % dim] = sum[i]; });
  }
};

// dk = Σ ds·q and dv = Σ p·d_out over the queries that see the key, of all heads of its group: nobody else adds to
// them.
struct AttendBackKeys {
  AttentionBack back;
  const KeyTile* tiles;
  float *dk, *dv;

  uint32_t shared_floats() const { return back.floats(back.shape.queries, back.shape.keys, back.shape.dim); }

  LORAKEET_DEVICE void run(const Block& block, uint32_t item) const {
    const AttentionShape& shape = back.shape;
    const KeyTile tile = tiles[item / shape.key_heads];
    const uint32_t key_head = item % shape.key_heads, dim = shape.dim, pitch = dim + 1, stride = shape.keys;
    float *const key = block.shared, *const value = key + shape.keys * pitch;
    float *const query = value + shape.keys * pitch, *const d = query + shape.queries * dim;
    float *const p = d + shape.queries * dim, *const ds = p + shape.queries * stride;
    const size_t key_row = size_t{tile.row} + tile.first;
    const auto at_key = [&](uint32_t i) { return ((key_row + i / dim) * shape.key_heads + key_head) * dim + i % dim; };

    load_keys(block, shape, back.k, key_row, key_head, tile.count, key);
    load_keys(block, shape, back.v, key_row, key_head, tile.count, value);
    block.for_each(tile.count * dim, [&](uint32_t i) { dk[at_key(i)] = dv[at_key(i)] = 0; });
    const uint32_t end = tile.rows * shape.group();
    for (uint32_t at = tile.first * shape.group(); at < end; at += shape.queries) {
      const uint32_t count = smaller(shape.queries, end - at);
      const auto place = [&](uint32_t m) { return query_place(shape, key_head, tile.row, 0, at + m); };
      block.for_each(count * dim, [&](uint32_t i) {
        const size_t from = place(i / dim).row_head * dim + i % dim;
        query[i] = back.q[from];
        d[i] = back.d_out[from];
      });
      block.for_each(count * tile.count, [&](uint32_t i) {
        const uint32_t m = i / tile.count, j = i % tile.count;
        const QueryPlace own = place(m);
        float share = 0, gradient = 0;
        if (tile.first + j < own.visible) {
          share = expf(shape.scale * dot(query + m * dim, key + j * pitch, dim) - back.log_sums[own.row_head]);
          const float dp = dot(d + m * dim, value + j * pitch, dim);
          gradient = shape.scale * share * (dp - back.along[own.row_head]);
        }
        p[m * stride + j] = share;
        ds[m * stride + j] = gradient;
      });
      block.for_each(tile.count * dim, [&](uint32_t i) {
        const uint32_t j = i / dim;
        float of_key = dk[at_key(i)], of_value = dv[at_key(i)];
        for (uint32_t m = 0; m < count; m++) {
          of_key = multiply_add(ds[m * stride + j], query[m * dim + i % dim], of_key);
          of_value = multiply_add(p[m * stride + j], d[m * dim + i % dim], of_value);
        }
        dk[at_key(i)] = of_key;
        dv[at_key(i)] = of_value;
      });
    }
  }
};

}  // namespace lorakeet::cuda::decoder
