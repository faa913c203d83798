#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numbers>
#include <optional>

#include "core/random.h"
#include "train/checkpoint.h"
#include "train/peak_rate.h"
#include "train/stop_signal.h"

namespace stepstone {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

TokenBatch view(const Batch& batch) { return {batch.tokens, batch.positions, batch.segments}; }

// "3:07" or "1:02:03"
std::string duration(double seconds) {
  const auto s = static_cast<std::int64_t>(std::max(0.0, seconds) + 0.5);
  return s >= 3600 ? fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
                   : fmt::format("{}:{:02}", s / 60, s % 60);
}

class Loop {
 public:
  Loop(Transformer& model, Optimizer& optimizer, Sampler& data, const TrainOptions& options,
       const TrainCallbacks& callbacks, RunLog& log, const std::filesystem::path& run)
      : model_(model),
        optimizer_(optimizer),
        data_(data),
        options_(options),
        callbacks_(callbacks),
        log_(log),
        run_(run),
        schedule_(options.schedule),
        guard_(options.guard) {
    if (options.ema > 0) ema_.emplace(model.parameters(), options.ema);
  }

  TrainOutcome run(bool resume) {
    if (resume) restore();
    log_.begin(step_);
    if (step_ > 0) log_.message(fmt::format("resumed at step {}", step_));
    const StopSignal stop;
    last_save_ = Clock::now();
    while (step_ < schedule_.steps) {
      if (StopSignal::received() != 0) return stopped();
      one_step();
      const bool last = step_ == schedule_.steps;
      if (last && ema_) ema_->swap();
      report(last);
      if (!last && save_is_due()) save();
    }
    return outcome();
  }

 private:
  bool save_is_due() const {
    const bool saves = options_.save_every > 0 || options_.save_seconds > 0;
    // The speed is measured once: the number of steps that it gave is kept at once.
    if (saves && just_fitted_) return true;
    if (options_.save_every > 0) return step_ % options_.save_every == 0;
    return options_.save_seconds > 0 && seconds_since(last_save_) >= options_.save_seconds;
  }

  int batches_now() const {
    int factor = 1;
    const double progress = static_cast<double>(step_) / static_cast<double>(schedule_.steps);
    for (const BatchGrowth& g : options_.batch_growth) {
      if (progress >= g.from) factor = g.factor;
    }
    return options_.accumulate * factor;
  }

  void one_step() {
    const auto start = Clock::now();
    std::vector<Batch> batches;
    std::int64_t targets = 0;
    for (int i = batches_now(); i > 0; --i) {
      data_.next(batches.emplace_back());
      targets += batches.back().target_tokens;
    }
    double loss = 0;
    for (std::size_t i = 0; i < batches.size(); ++i) loss += accumulate(batches[i], i, targets);
    learning_rate_ = schedule_.at(step_);
    const bool plausible = guard_.check(step_, loss, true) == LossGuard::Verdict::apply;
    if (plausible) {
      const auto report = optimizer_.step(learning_rate_);
      gradient_norm_ = report.gradient_norm;
      if (!report.finite) guard_.check(step_, loss, false);
      if (ema_ && report.finite) ema_->update();
    } else {
      model_.parameters().clear_gradients();
    }
    ++step_;
    loss_ = loss;
    recent_loss_ = step_ == 1 ? loss : 0.9 * recent_loss_ + 0.1 * loss;
    const double seconds = seconds_since(start);
    train_seconds_ += seconds;
    for (const Batch& b : batches) {
      tokens_ += static_cast<std::int64_t>(b.tokens.size());
      window_tokens_ += static_cast<std::int64_t>(b.tokens.size());
    }
    window_seconds_ += seconds;
    fit_time();
  }

  double accumulate(const Batch& batch, std::size_t index, std::int64_t targets) {
    const std::uint64_t seed = philox(
        {static_cast<std::uint32_t>(step_), static_cast<std::uint32_t>(index), 0x7261696e, 0},
        options_.seed)[0];
    Graph graph({.record = true,
                 .training = true,
                 .compute = options_.compute,
                 .seed = seed,
                 .profiler = options_.profiler});
    const Var hidden = model_.hidden(graph, view(batch), options_.checkpoint_blocks);
    ops::HeadLossConfig config;
    config.scale = 1.0f / static_cast<float>(std::max<std::int64_t>(1, targets));
    config.z_loss = options_.z_loss;
    const Var loss = model_.loss(graph, hidden, batch.targets, config);
    graph.backward(loss);
    return static_cast<double>(loss.value().data<float>()[0]);
  }

  // After a few steps at full speed, cuts the number of steps to what fits the time.
  void fit_time() {
    constexpr std::int64_t kTimed = 8, kWarm = 3;
    if (options_.max_seconds <= 0 || fitted_) return;
    if (step_ == kWarm) warm_seconds_ = train_seconds_;
    if (step_ < kWarm + kTimed) return;
    const double per_step = (train_seconds_ - warm_seconds_) / kTimed;
    const auto fit = static_cast<std::int64_t>(static_cast<double>(step_) +
                                               (options_.max_seconds - train_seconds_) / per_step);
    schedule_.steps = std::clamp(fit, step_ + 1, options_.schedule.steps);
    schedule_.warmup = std::min(schedule_.warmup, schedule_.steps / 10);
    fitted_ = just_fitted_ = true;
  }

  // Until the time tells how many steps fit, nobody knows.
  std::string steps_shown() const {
    return options_.max_seconds > 0 && !fitted_ ? "?" : fmt::format("{}", schedule_.steps);
  }

  void report(bool last) {
    Json entry = {{"step", step_}};
    bool write = false;
    if (last || (options_.log_every > 0 && step_ % options_.log_every == 0) || step_ == 1) {
      entry.update(progress_entry());
      write = true;
    }
    if (last || (options_.eval_every > 0 && step_ % options_.eval_every == 0)) {
      evaluate_now(entry);
      write = true;
    }
    if (callbacks_.sample &&
        (last || (options_.sample_every > 0 && step_ % options_.sample_every == 0))) {
      if (const std::string text = callbacks_.sample(); !text.empty()) {
        entry["sample"] = text;
        write = true;
      }
    }
    if (write) log_.write(entry);
  }

  Json progress_entry() {
    const double rate =
        window_seconds_ > 0 ? static_cast<double>(window_tokens_) / window_seconds_ : 0;
    if (peak_ == 0) peak_ = peak_rate(options_.compute);
    const double share = rate * model_.config().flops_per_token(options_.context) / peak_;
    double left = static_cast<double>(schedule_.steps - step_) * train_seconds_ /
                  static_cast<double>(std::max<std::int64_t>(1, step_));
    if (options_.max_seconds > 0) left = std::min(left, options_.max_seconds - train_seconds_);
    log_.progress(fmt::format(
        "step {:>6}/{} | loss {:.4f} | lr x{:.3f} | grad {:.2f} | {:.0f} tok/s | {:.0f}% of peak | "
        "{} left",
        step_, steps_shown(), recent_loss_, learning_rate_, gradient_norm_, rate, 100 * share,
        duration(left)));
    window_seconds_ = 0;
    window_tokens_ = 0;
    return {{"loss", loss_},
            {"lr_scale", learning_rate_},
            {"grad_norm", gradient_norm_},
            {"tok_per_sec", rate},
            {"mfu", share},
            {"tokens", tokens_},
            {"train_seconds", train_seconds_},
            {"skipped_steps", guard_.total_skipped()}};
  }

  void evaluate_now(Json& entry) {
    if (!callbacks_.evaluate) return;
    validation_ = callbacks_.evaluate();
    entry["val_loss"] = validation_.loss;
    if (validation_.bits_per_byte) entry["val_bpb"] = *validation_.bits_per_byte;
    entry["train_seconds"] = train_seconds_;
    const std::string bits =
        validation_.bits_per_byte ? fmt::format("{:.4f}", *validation_.bits_per_byte) : "-";
    log_.message(fmt::format("step {:>6}/{} | val_loss={:.4f} | {} bits per byte | {:.1f} s", step_,
                             steps_shown(), validation_.loss, bits, train_seconds_));
  }

  void save() {
    Json state = {{"step", step_},
                  {"tokens", tokens_},
                  {"train_seconds", train_seconds_},
                  {"recent_loss", recent_loss_},
                  {"steps", schedule_.steps},
                  {"warmup", schedule_.warmup},
                  {"fitted", fitted_},
                  {"warm_seconds", warm_seconds_},
                  {"guard", guard_.state()},
                  {"data", to_json(data_.state())}};
    if (ema_) state["ema_updates"] = ema_->updates();
    save_checkpoint(run_, step_, model_, optimizer_, state, options_.keep_checkpoints,
                    ema_ ? &*ema_ : nullptr);
    last_save_ = Clock::now();
    just_fitted_ = false;
  }

  void restore() {
    const auto loaded = load_checkpoint(run_, model_, optimizer_, ema_ ? &*ema_ : nullptr);
    if (!loaded) {
      log_.message(
          fmt::format("{}: no checkpoint to go on from; starting at the beginning", run_.string()));
      return;
    }
    const Json& s = loaded->state;
    const std::string file = fmt::format("checkpoint of step {}", loaded->step);
    step_ = get<std::int64_t>(s, "step", file);
    require<UsageError>(step_ < options_.schedule.steps,
                        "train.steps: {} are not more than the {} of the {}",
                        options_.schedule.steps, step_, file);
    tokens_ = get<std::int64_t>(s, "tokens", file);
    train_seconds_ = get<double>(s, "train_seconds", file);
    recent_loss_ = get<double>(s, "recent_loss", file);
    if (options_.max_seconds > 0) {
      schedule_.steps = get<std::int64_t>(s, "steps", file);
      schedule_.warmup = get<std::int64_t>(s, "warmup", file);
      fitted_ = get<bool>(s, "fitted", file);
      warm_seconds_ = get<double>(s, "warm_seconds", file);
    }
    guard_.load_state(get<Json>(s, "guard", file), file);
    data_.restore(sampler_state_from_json(get<Json>(s, "data", file), file));
    if (ema_) ema_->set_updates(get<std::int64_t>(s, "ema_updates", file));
  }

  TrainOutcome stopped() {
    save();
    log_.message(
        fmt::format("stopped at step {}; saved. Go on with the same command and --resume", step_));
    TrainOutcome result = outcome();
    result.signal = StopSignal::received();
    return result;
  }

  TrainOutcome outcome() const {
    return {.steps = step_,
            .tokens = tokens_,
            .seconds = train_seconds_,
            .loss = recent_loss_,
            .validation = validation_};
  }

  Transformer& model_;
  Optimizer& optimizer_;
  Sampler& data_;
  const TrainOptions& options_;
  const TrainCallbacks& callbacks_;
  RunLog& log_;
  std::filesystem::path run_;
  Schedule schedule_;
  LossGuard guard_;
  std::optional<Ema> ema_;

  std::int64_t step_ = 0, tokens_ = 0, window_tokens_ = 0;
  double loss_ = 0, recent_loss_ = 0, learning_rate_ = 0, gradient_norm_ = 0;
  double train_seconds_ = 0, window_seconds_ = 0, warm_seconds_ = 0, peak_ = 0;
  bool fitted_ = false, just_fitted_ = false;
  Clock::time_point last_save_;
  Evaluation validation_;
};

}  // namespace

TrainOutcome train(Transformer& model, Optimizer& optimizer, Sampler& data,
                   const TrainOptions& options, const TrainCallbacks& callbacks, RunLog& log,
                   const std::filesystem::path& run, bool resume) {
  return Loop(model, optimizer, data, options, callbacks, log, run).run(resume);
}

std::optional<double> bits_per_byte(double loss, std::int64_t bytes) {
  if (bytes == 0) return std::nullopt;
  return loss / std::numbers::ln2 / static_cast<double>(bytes);
}

Evaluation evaluate(const Transformer& model, const EvalBatches& batches, DType compute) {
  double nll = 0;
  std::int64_t tokens = 0, bytes = 0;
  Batch batch;
  for (std::int64_t i = 0; i < batches.size(); ++i) {
    batches.get(i, batch);
    Graph graph({.compute = compute});
    const Var loss =
        model.loss(graph, model.hidden(graph, view(batch)), batch.targets, ops::HeadLossConfig{});
    nll += static_cast<double>(loss.value().data<float>()[0]);
    tokens += batch.target_tokens;
    bytes += batch.target_bytes;
  }
  return {.loss = tokens > 0 ? nll / static_cast<double>(tokens) : 0,
          .bits_per_byte = bits_per_byte(nll, bytes),
          .tokens = tokens};
}

}  // namespace stepstone
