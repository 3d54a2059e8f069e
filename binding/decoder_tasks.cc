// The decoder's functions that compute. Arguments are copied and checked on the main thread; what depends on the state
// of an object is checked under its mutex, on the thread that does the work.

#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>
#include <string>

#include "check.h"
#include "decoder.h"
#include "modules.h"
#include "task.h"

namespace lorakeet {
namespace {

// Reads the arguments of a task and starts it.
template <typename TaskType, size_t Count>
napi_value start(napi_env env, napi_callback_info info, const char* name) {
  napi_value argv[Count];
  size_t argc = Count;
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  auto task = std::make_unique<TaskType>();
  Problem problem;
  try {
    problem = task->read(env, argv);
  } catch (const std::exception&) {  // no memory, or a length no memory has
    problem = status_problem(LORAKEET_OUT_OF_MEMORY);
  }
  if (problem) return throw_problem(env, problem);
  return start_task(env, std::move(task), name);
}

Problem read_ids(napi_env env, napi_value value, const char* name, std::vector<uint32_t>* ids) {
  Span<const uint32_t> span;
  if (Problem problem = read_uint32s(env, value, name, &span)) return problem;
  if (Problem problem = check_count(name, span.length)) return problem;
  ids->assign(span.data, span.data + span.length);
  return {};
}

Problem check_tokens(const std::vector<uint32_t>& tokens, uint32_t vocabulary) {
  for (const uint32_t token : tokens) {
    if (token >= vocabulary) {
      return {"ERR_OUT_OF_RANGE",
              "tokens: got " + std::to_string(token) + ", expected tokens below " + std::to_string(vocabulary)};
    }
  }
  return {};
}

Problem check_batch(const std::vector<uint32_t>& tokens, const std::vector<uint32_t>& offsets,
                    const std::vector<uint32_t>& positions) {
  const size_t last = offsets.size() - 1;
  if (offsets.size() < 2 || offsets[0] != 0 || offsets[last] != tokens.size()) {
    return {"ERR_ROW_OFFSETS", "offsets: got others, expected them from 0 to the number of tokens"};
  }
  for (size_t i = 0; i < last; i++) {
    if (offsets[i] >= offsets[i + 1]) return {"ERR_ROW_OFFSETS", "offsets: got others, expected them strictly rising"};
  }
  size_t sequence = 0;
  for (size_t i = 0; i < positions.size(); i++) {
    const bool rising = i == 0 || positions[i] > positions[i - 1];
    if (!rising || positions[i] >= tokens.size()) {
      return {"ERR_OUT_OF_RANGE", "positions: got others, expected them rising and below the number of tokens"};
    }
    while (offsets[sequence + 1] <= positions[i]) sequence++;
    if (positions[i] == offsets[sequence]) {
      return {"ERR_OUT_OF_RANGE", "positions: got the first token of a sequence, expected a later one"};
    }
  }
  return {};
}

// keep, recompute, sampleSeed (or −1), dropout, dropoutSeed
Problem read_options(napi_env env, const napi_value* argv, lorakeet_forward_options* options) {
  constexpr double kLargestSeed = 9007199254740991.0;
  uint64_t keep = 0, recompute = 0;
  double seed = 0;
  if (Problem problem = read_integer(env, argv[0], "keep", 0, 1, &keep)) return problem;
  if (Problem problem = read_integer(env, argv[1], "recompute", 0, 1, &recompute)) return problem;
  if (Problem problem = read_number(env, argv[2], "sampleSeed", &seed)) return problem;
  options->keep = static_cast<uint32_t>(keep);
  options->recompute = static_cast<uint32_t>(recompute);
  options->sample = seed != -1;
  if (options->sample) {
    if (Problem problem = read_integer(env, argv[2], "sampleSeed", 0, kLargestSeed, &options->sample_seed)) {
      return problem;
    }
  }
  if (Problem problem = read_number(env, argv[3], "dropout", &options->dropout)) return problem;
  if (!(options->dropout >= 0 && options->dropout < 1)) {
    return {"ERR_INVALID_CONFIG",
            "dropout: got " + std::to_string(options->dropout) + ", expected a number from 0 on and below 1"};
  }
  return read_integer(env, argv[4], "dropoutSeed", 0, kLargestSeed, &options->dropout_seed);
}

// forward(pass, adapter | 0, tokens, offsets, positions, keep, recompute, sampleSeed, dropout, dropoutSeed,
// coefficients?)
class ForwardTask : public Task {
 public:
  Problem read(napi_env env, const napi_value* argv) {
    Problem problem;
    double adapter = 0;
    pass_ = find_pass(env, argv[0], &problem);
    if (problem) return problem;
    if ((problem = read_number(env, argv[1], "adapter", &adapter))) return problem;
    if (adapter != 0) adapter_ = find_adapter(env, argv[1], &problem);
    if (problem) return problem;
    if (adapter_ && adapter_->model != pass_->model) {
      return {"ERR_INVALID_ARGUMENT", "adapter: got one of another model, expected one of this"};
    }
    if ((problem = read_ids(env, argv[2], "tokens", &tokens_))) return problem;
    if ((problem = read_ids(env, argv[3], "offsets", &offsets_))) return problem;
    if ((problem = read_ids(env, argv[4], "positions", &positions_))) return problem;
    if ((problem = read_options(env, argv + 5, &options_))) return problem;
    if (options_.keep && (!adapter_ || !adapter_->train)) {
      return {"ERR_INVALID_STATE", "adapter: got one that does not train, expected one made with { train: true }"};
    }
    Span<const float> coefficients;
    if ((problem = read_optional_floats(env, argv[10], "coefficients", &coefficients))) return problem;
    has_coefficients_ = coefficients.given;
    if (has_coefficients_) {
      if ((problem = check_length("coefficients", coefficients.length, positions_.size()))) return problem;
      coefficients_.assign(coefficients.data, coefficients.data + coefficients.length);
    }
    if ((problem = check_tokens(tokens_, pass_->model->config.vocab_size))) return problem;
    if ((problem = check_batch(tokens_, offsets_, positions_))) return problem;
    log_probabilities_.resize(positions_.size());
    labels_.resize(positions_.size());
    return {};
  }

  void run() override {
    const lorakeet_token_batch batch = {static_cast<uint32_t>(offsets_.size() - 1),
                                        static_cast<uint32_t>(positions_.size()), tokens_.data(), offsets_.data(),
                                        positions_.data()};
    std::lock_guard<std::mutex> lock(pass_->mutex);
    std::shared_lock<std::shared_mutex> reading;
    if (adapter_) reading = std::shared_lock<std::shared_mutex>(adapter_->mutex);
    pass_->kept.reset();
    const lorakeet_status status = pass_->model->table->forward(
        pass_->handle, adapter_ ? adapter_->handle : nullptr, &batch, &options_,
        has_coefficients_ ? coefficients_.data() : nullptr, log_probabilities_.data(), labels_.data());
    problem = status_problem(status);
    if (problem || !options_.keep) return;
    pass_->kept = adapter_;
    pass_->kept_targets = positions_.size();
    pass_->has_coefficients = has_coefficients_;
  }

  napi_value result(napi_env env) override {
    napi_value result, log_probabilities = typed_array(env, napi_float32_array, log_probabilities_);
    napi_value labels = typed_array(env, napi_uint32_array, labels_);
    if (!log_probabilities || !labels) return nullptr;
    napi_create_object(env, &result);
    napi_set_named_property(env, result, "logProbabilities", log_probabilities);
    napi_set_named_property(env, result, "labels", labels);
    return result;
  }

 private:
  std::shared_ptr<DecoderPass> pass_;
  std::shared_ptr<DecoderAdapter> adapter_;
  std::vector<uint32_t> tokens_, offsets_, positions_, labels_;
  lorakeet_forward_options options_{};
  bool has_coefficients_ = false;
  std::vector<float> coefficients_, log_probabilities_;
};

// backward(pass, adapter, coefficients?)
class BackwardTask : public Task {
 public:
  Problem read(napi_env env, const napi_value* argv) {
    Problem problem;
    pass_ = find_pass(env, argv[0], &problem);
    if (problem) return problem;
    adapter_ = find_adapter(env, argv[1], &problem);
    if (problem) return problem;
    Span<const float> coefficients;
    if ((problem = read_optional_floats(env, argv[2], "coefficients", &coefficients))) return problem;
    has_coefficients_ = coefficients.given;
    if (has_coefficients_) coefficients_.assign(coefficients.data, coefficients.data + coefficients.length);
    return {};
  }

  void run() override {
    std::lock_guard<std::mutex> lock(pass_->mutex);
    if (!pass_->kept || pass_->kept != adapter_) {
      problem = {"ERR_INVALID_STATE",
                 "backward: got a pass that keeps nothing of this adapter, expected a forward with `keep` before"};
    } else if (has_coefficients_ == pass_->has_coefficients) {
      problem = {"ERR_INVALID_ARGUMENT",
                 "coefficients: got both or neither, expected those of forward or those of backward"};
    } else if (has_coefficients_) {
      problem = check_length("coefficients", coefficients_.size(), pass_->kept_targets);
    }
    if (problem) return;
    std::unique_lock<std::shared_mutex> writing(adapter_->mutex);
    problem = status_problem(pass_->model->table->backward(pass_->handle, adapter_->handle,
                                                           has_coefficients_ ? coefficients_.data() : nullptr));
    pass_->kept.reset();
  }

  napi_value result(napi_env env) override { return undefined(env); }

 private:
  std::shared_ptr<DecoderPass> pass_;
  std::shared_ptr<DecoderAdapter> adapter_;
  bool has_coefficients_ = false;
  std::vector<float> coefficients_;
};

// An adapter that trains.
Problem find_training(napi_env env, napi_value number, std::shared_ptr<DecoderAdapter>* adapter) {
  Problem problem;
  *adapter = find_adapter(env, number, &problem);
  if (!problem && !(*adapter)->train) {
    return {"ERR_INVALID_STATE", "adapter: got one that does not train, expected one made with { train: true }"};
  }
  return problem;
}

// stepAdapter(adapter, step)
class StepTask : public Task {
 public:
  Problem read(napi_env env, const napi_value* argv) {
    if (Problem problem = find_training(env, argv[0], &adapter_)) return problem;
    napi_valuetype type;
    if (napi_typeof(env, argv[1], &type) != napi_ok || type != napi_object) {
      return {"ERR_INVALID_CONFIG", "step: got no object, expected an object of numbers"};
    }
    constexpr double kFinite = std::numeric_limits<float>::max();
    double step = 0;
    const struct {
      const char* name;
      double max;
      double* number;
    } fields[] = {{"learningRate", kFinite, &step_.learning_rate},
                  {"beta1", 1, &step_.beta1},
                  {"beta2", 1, &step_.beta2},
                  {"epsilon", kFinite, &step_.epsilon},
                  {"weightDecay", kFinite, &step_.weight_decay},
                  {"maxGradNorm", std::numeric_limits<double>::infinity(), &step_.max_grad_norm},
                  {"ewcLambda", kFinite, &step_.ewc_lambda},
                  {"step", 2147483647.0, &step}};
    for (const auto& field : fields) {
      if (Problem problem = read_config_number(env, argv[1], field.name, 0, field.max, false, field.number)) {
        return problem;
      }
    }
    step_.step = static_cast<uint32_t>(step);
    return {};
  }

  void run() override {
    std::unique_lock<std::shared_mutex> writing(adapter_->mutex);
    problem = decoder_problem(adapter_->model->table->step_adapter(adapter_->handle, &step_, &norm_), "gradient");
  }

  napi_value result(napi_env env) override {
    napi_value norm;
    napi_create_double(env, norm_, &norm);
    return norm;
  }

 private:
  std::shared_ptr<DecoderAdapter> adapter_;
  lorakeet_adapter_step step_{};
  double norm_ = 0;
};

// addFisher(adapter, weight)
class FisherTask : public Task {
 public:
  Problem read(napi_env env, const napi_value* argv) {
    if (Problem problem = find_training(env, argv[0], &adapter_)) return problem;
    return read_number(env, argv[1], "weight", &weight_);
  }

  void run() override {
    std::unique_lock<std::shared_mutex> writing(adapter_->mutex);
    problem = status_problem(adapter_->model->table->add_fisher(adapter_->handle, weight_));
  }

  napi_value result(napi_env env) override { return undefined(env); }

 private:
  std::shared_ptr<DecoderAdapter> adapter_;
  double weight_ = 0;
};

// decode(cache, entries, tokens): of each entry its sequence, how many of the tokens are its own, and its adapter or 0.
class DecodeTask : public Task {
 public:
  Problem read(napi_env env, const napi_value* argv) {
    Problem problem;
    std::vector<uint32_t> numbers;
    cache_ = find_cache(env, argv[0], &problem);
    if (problem) return problem;
    if ((problem = read_ids(env, argv[1], "entries", &numbers))) return problem;
    if ((problem = read_ids(env, argv[2], "tokens", &tokens_))) return problem;
    if ((problem = check_tokens(tokens_, cache_->model->config.vocab_size))) return problem;
    if (numbers.empty() || numbers.size() % 3 != 0) {
      return {"ERR_INVALID_ARGUMENT", "entries: got others, expected three numbers for each, and at least one"};
    }
    std::vector<bool> seen(cache_->lengths.size());
    uint64_t total = 0;
    for (size_t i = 0; i < numbers.size(); i += 3) {
      const uint32_t sequence = numbers[i], tokens = numbers[i + 1];
      if (sequence >= seen.size())
        return {"ERR_OUT_OF_RANGE", "entries: got another sequence, expected one that the cache has"};
      if (seen[sequence] || tokens == 0) {
        return {"ERR_INVALID_ARGUMENT",
                "entries: got others, expected each sequence once, and at least one token for it"};
      }
      seen[sequence] = true;
      total += tokens;
      if ((problem = add(env, sequence, tokens, numbers[i + 2]))) return problem;
    }
    if ((problem = check_length("tokens", tokens_.size(), total))) return problem;
    logits_.resize(entries_.size() * cache_->model->config.vocab_size);
    return {};
  }

  void run() override {
    std::lock_guard<std::mutex> lock(cache_->mutex);
    for (const lorakeet_decode_entry& entry : entries_) {
      if (entry.tokens > cache_->positions - cache_->lengths[entry.sequence]) {
        problem = {"ERR_CONTEXT_FULL", "entries: got more tokens than their sequence has room for, expected fewer"};
        return;
      }
    }
    // Always in the same order, each once: two calls that read the same adapters, and others that wait to change them,
    // would otherwise wait for each other.
    std::sort(adapters_.begin(), adapters_.end());
    adapters_.erase(std::unique(adapters_.begin(), adapters_.end()), adapters_.end());
    std::vector<std::shared_lock<std::shared_mutex>> reading;
    for (const auto& adapter : adapters_) reading.emplace_back(adapter->mutex);
    problem = status_problem(cache_->model->table->decode(
        cache_->handle, entries_.data(), static_cast<uint32_t>(entries_.size()), tokens_.data(), logits_.data()));
    if (problem) return;
    for (const lorakeet_decode_entry& entry : entries_) cache_->lengths[entry.sequence] += entry.tokens;
  }

  napi_value result(napi_env env) override { return typed_array(env, napi_float32_array, logits_); }

 private:
  Problem add(napi_env env, uint32_t sequence, uint32_t tokens, uint32_t number) {
    const lorakeet_decoder_adapter* handle = nullptr;
    if (number != 0) {
      Problem problem;
      napi_value value;
      napi_create_uint32(env, number, &value);
      const std::shared_ptr<DecoderAdapter> adapter = find_adapter(env, value, &problem);
      if (problem) return problem;
      if (adapter->model != cache_->model)
        return {"ERR_INVALID_ARGUMENT", "adapter: got one of another model, expected one of this"};
      handle = adapter->handle;
      adapters_.push_back(adapter);
    }
    entries_.push_back({sequence, tokens, handle});
    return {};
  }

  std::shared_ptr<DecoderCache> cache_;
  std::vector<std::shared_ptr<DecoderAdapter>> adapters_;
  std::vector<lorakeet_decode_entry> entries_;
  std::vector<uint32_t> tokens_;
  std::vector<float> logits_;
};

// passBytes(model, targets, tokens, sequences, positions, keep, recompute, sampleSeed, dropout, dropoutSeed)
Problem read_pass_bytes(napi_env env, const napi_value* argv, double* bytes) {
  Problem problem;
  std::vector<lorakeet_lora_target> targets;
  uint64_t parameters = 0, tokens = 0, sequences = 0, positions = 0;
  lorakeet_forward_options options{};
  const std::shared_ptr<DecoderModel> model = find_model(env, argv[0], &problem);
  if (problem) return problem;
  if ((problem = read_targets(env, argv[1], *model, &targets, &parameters))) return problem;
  if ((problem = read_integer(env, argv[2], "tokens", 1, 4294967295.0, &tokens))) return problem;
  if ((problem = read_integer(env, argv[3], "sequences", 1, static_cast<double>(tokens), &sequences))) return problem;
  if ((problem = read_integer(env, argv[4], "targets", 0, static_cast<double>(tokens), &positions))) return problem;
  if ((problem = read_options(env, argv + 5, &options))) return problem;
  // The longest that the first sequence can be when no other is empty.
  std::vector<uint32_t> offsets(sequences + 1);
  for (uint64_t i = 1; i <= sequences; i++) offsets[i] = static_cast<uint32_t>(tokens - sequences + i);
  const lorakeet_token_batch batch = {static_cast<uint32_t>(sequences), static_cast<uint32_t>(positions), nullptr,
                                      offsets.data(), nullptr};
  *bytes = static_cast<double>(
      model->table->pass_bytes(model->handle, targets.data(), static_cast<uint32_t>(targets.size()), &batch, &options));
  return {};
}

}  // namespace

napi_value pass_bytes(napi_env env, napi_callback_info info) {
  napi_value argv[10], result;
  size_t argc = 10;
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  Problem problem;
  double bytes = 0;
  try {
    problem = read_pass_bytes(env, argv, &bytes);
  } catch (const std::exception&) {
    problem = status_problem(LORAKEET_OUT_OF_MEMORY);
  }
  if (problem) return throw_problem(env, problem);
  napi_create_double(env, bytes, &result);
  return result;
}

napi_value forward(napi_env env, napi_callback_info info) {
  return start<ForwardTask, 11>(env, info, "lorakeet.forward");
}
napi_value backward(napi_env env, napi_callback_info info) {
  return start<BackwardTask, 3>(env, info, "lorakeet.backward");
}
napi_value step_adapter(napi_env env, napi_callback_info info) {
  return start<StepTask, 2>(env, info, "lorakeet.stepAdapter");
}
napi_value add_fisher(napi_env env, napi_callback_info info) {
  return start<FisherTask, 2>(env, info, "lorakeet.addFisher");
}
napi_value decode(napi_env env, napi_callback_info info) { return start<DecodeTask, 3>(env, info, "lorakeet.decode"); }

}  // namespace lorakeet
