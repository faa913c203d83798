#include "data/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "core/random.h"
#include "data/packing.h"
#include "data/permutation.h"

namespace stepstone {
namespace {

// Streams of random numbers for different purposes.
constexpr std::uint64_t kWindowSalt = 0x77696e646f77, kRowSalt = 0x726f77, kDocumentSalt = 0x646f63;

void check_options(const SamplerOptions& options) {
  require<UsageError>(options.rows >= 1 && options.cols >= 1 &&
                          options.rows <= std::int64_t{1} << 30 &&
                          options.cols <= (std::int64_t{1} << 30) / options.rows,
                      "sampler: a batch of {} rows of {} tokens", options.rows, options.cols);
  require<UsageError>(options.window >= 1, "sampler: a window of {} documents", options.window);
}

void check_dataset(const Dataset& dataset, const SamplerOptions& options, std::int64_t least) {
  if (options.mode == SamplingMode::contiguous) {
    require<UsageError>(dataset.is_contiguous(),
                        "sampler: documents chosen by hash have no contiguous token stream; use "
                        "packed mode");
    require<UsageError>(dataset.tokens() >= least,
                        "sampler: {} tokens are too few: at least {} are needed", dataset.tokens(),
                        least);
    return;
  }
  for (std::int64_t i = 0; i < dataset.documents(); ++i) {
    if (dataset.document(i).size() >= 2) return;
  }
  throw UsageError("sampler: no document has two tokens or more");
}

// Makes a batch of all padding.
void start_batch(Batch& batch, const SamplerOptions& options) {
  const auto size = static_cast<std::size_t>(options.rows * options.cols);
  batch.rows = options.rows;
  batch.cols = options.cols;
  batch.tokens.assign(size, options.pad_id);
  batch.targets.assign(size, -1);
  batch.positions.assign(size, 0);
  batch.segments.clear();
  batch.target_tokens = 0;
  batch.target_bytes = 0;
}

// Writes one piece at `column` of `row` as a segment of its own.
void put_piece(Batch& batch, const SamplerOptions& options, const Dataset& dataset, Piece piece,
               std::int64_t row, std::int64_t column) {
  const auto at = static_cast<std::size_t>(row * options.cols + column);
  const auto count = static_cast<std::size_t>(piece.inputs);
  batch.segments.push_back(static_cast<std::int32_t>(at));
  dataset.copy_tokens({piece.begin, piece.begin + piece.inputs}, batch.tokens.data() + at);
  dataset.copy_tokens({piece.begin + 1, piece.begin + piece.inputs + 1}, batch.targets.data() + at);
  std::iota(batch.positions.begin() + static_cast<std::ptrdiff_t>(at),
            batch.positions.begin() + static_cast<std::ptrdiff_t>(at + count), 0);
  if (dataset.has_mask()) {
    std::vector<std::uint8_t> mask(count);
    dataset.copy_mask({piece.begin + 1, piece.begin + piece.inputs + 1}, mask.data());
    for (std::size_t i = 0; i < count; ++i) {
      if (mask[i] == 0) batch.targets[at + i] = -1;
    }
  }
}

// Padding from `column` to the end of the row, a segment of its own.
void put_padding(Batch& batch, const SamplerOptions& options, std::int64_t row,
                 std::int64_t column) {
  if (column == options.cols) return;
  const std::int64_t at = row * options.cols + column;
  batch.segments.push_back(static_cast<std::int32_t>(at));
  std::iota(batch.positions.begin() + at, batch.positions.begin() + (row + 1) * options.cols, 0);
}

void put_row(Batch& batch, const SamplerOptions& options, const Dataset& dataset,
             std::span<const Piece> pieces, std::int64_t row) {
  std::int64_t column = 0;
  for (const Piece& piece : pieces) {
    put_piece(batch, options, dataset, piece, row, column);
    column += piece.inputs;
  }
  put_padding(batch, options, row, column);
}

void finish_batch(Batch& batch, const SamplerOptions& options) {
  batch.segments.push_back(static_cast<std::int32_t>(options.rows * options.cols));
  for (const std::int32_t target : batch.targets) {
    if (target < 0) continue;
    ++batch.target_tokens;
    if (options.token_bytes.empty()) continue;
    require(static_cast<std::size_t>(target) < options.token_bytes.size(),
            "sampler: token {} has no entry in the byte table of {}", target,
            options.token_bytes.size());
    batch.target_bytes += options.token_bytes[static_cast<std::size_t>(target)];
  }
}

// The rows of one window at a time, in the shuffled order of its epoch.
class Packer {
 public:
  Packer(const Dataset& dataset, const SamplerOptions& options, std::uint64_t source)
      : dataset_(dataset), options_(options), source_(source) {}

  std::int64_t windows() const {
    return (dataset_.documents() + options_.window - 1) / options_.window;
  }

  // The pieces of the next row; moves `state` on.
  std::span<const Piece> next(SourceState& state) {
    load(state.epoch, state.window);
    while (state.row >= rows_.rows()) {
      advance(state);
      load(state.epoch, state.window);
    }
    const auto pieces = rows_.row(order_[static_cast<std::size_t>(state.row)]);
    ++state.row;
    return pieces;
  }

  std::int64_t rows_of(const SourceState& state) {
    load(state.epoch, state.window);
    return rows_.rows();
  }

 private:
  void advance(SourceState& state) const {
    state.row = 0;
    if (++state.window < windows()) return;
    state.window = 0;
    ++state.epoch;
  }

  void load(std::int64_t epoch, std::int64_t window) {
    if (epoch == epoch_ && window == window_) return;
    const Permutation order(static_cast<std::uint64_t>(dataset_.documents()),
                            options_.seed ^ kDocumentSalt ^ source_ << 32,
                            static_cast<std::uint64_t>(epoch));
    std::vector<std::int64_t> documents;
    const std::int64_t first = window * options_.window;
    const std::int64_t last = std::min(first + options_.window, dataset_.documents());
    for (std::int64_t i = first; i < last; ++i) {
      documents.push_back(static_cast<std::int64_t>(order.at(static_cast<std::uint64_t>(i))));
    }
    rows_ = pack_documents(dataset_, documents, options_.cols);
    // Best fit puts rows of like documents side by side; mix them.
    order_.resize(static_cast<std::size_t>(rows_.rows()));
    if (rows_.rows() > 0) {
      const Permutation mixed(
          static_cast<std::uint64_t>(rows_.rows()), options_.seed ^ kWindowSalt ^ source_ << 32,
          static_cast<std::uint64_t>(epoch) << 32 ^ static_cast<std::uint64_t>(window));
      for (std::size_t i = 0; i < order_.size(); ++i) {
        order_[i] = static_cast<std::int64_t>(mixed.at(i));
      }
    }
    epoch_ = epoch;
    window_ = window;
  }

  const Dataset& dataset_;
  const SamplerOptions& options_;
  std::uint64_t source_;
  std::int64_t epoch_ = -1, window_ = -1;
  PackedRows rows_;
  std::vector<std::int64_t> order_;
};

}  // namespace

struct Sampler::Impl {
  std::vector<MixtureEntry> mixture;
  SamplerOptions options;
  SamplerState state;
  std::vector<Packer> packers;  // one per source

  // The source whose share lags most. Shares are exact at every step, not only on average.
  std::size_t next_source() const {
    double total_weight = 0, rows = 0;
    for (std::size_t i = 0; i < mixture.size(); ++i) {
      total_weight += mixture[i].weight;
      rows += static_cast<double>(state.sources[i].rows);
    }
    std::size_t best = 0;
    double most = -INFINITY;
    for (std::size_t i = 0; i < mixture.size(); ++i) {
      const double due = mixture[i].weight / total_weight * (rows + 1) -
                         static_cast<double>(state.sources[i].rows);
      if (due > most) {
        most = due;
        best = i;
      }
    }
    return best;
  }

  void put_random_window(Batch& batch, const Dataset& dataset, std::size_t source,
                         std::int64_t row) const {
    Random random(options.seed ^ kRowSalt ^ static_cast<std::uint64_t>(source) << 32,
                  static_cast<std::uint64_t>(state.sources[source].rows));
    const std::int64_t places = dataset.tokens() - options.cols;
    const std::int64_t begin =
        dataset.range().begin +
        static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(places)));
    put_piece(batch, options, dataset, {begin, options.cols}, row, 0);
  }
};

Sampler::Sampler(std::vector<MixtureEntry> mixture, const SamplerOptions& options)
    : impl_(std::make_unique<Impl>()) {
  check_options(options);
  require<UsageError>(!mixture.empty(), "sampler: no dataset");
  for (const MixtureEntry& entry : mixture) {
    require<UsageError>(std::isfinite(entry.weight) && entry.weight > 0,
                        "sampler: the weight of a dataset is {}, not above zero", entry.weight);
    check_dataset(entry.dataset, options, options.cols + 1);
  }
  impl_->mixture = std::move(mixture);
  impl_->options = options;
  impl_->state.sources.resize(impl_->mixture.size());
  for (std::size_t i = 0; i < impl_->mixture.size(); ++i) {
    impl_->packers.emplace_back(impl_->mixture[i].dataset, impl_->options, i);
  }
}

Sampler::~Sampler() = default;
Sampler::Sampler(Sampler&&) noexcept = default;

void Sampler::next(Batch& batch) {
  Impl& impl = *impl_;
  start_batch(batch, impl.options);
  for (std::int64_t row = 0; row < impl.options.rows; ++row) {
    const std::size_t source = impl.next_source();
    const Dataset& dataset = impl.mixture[source].dataset;
    SourceState& state = impl.state.sources[source];
    if (impl.options.mode == SamplingMode::contiguous) {
      impl.put_random_window(batch, dataset, source, row);
    } else {
      put_row(batch, impl.options, dataset, impl.packers[source].next(state), row);
    }
    ++state.rows;
  }
  finish_batch(batch, impl.options);
  ++impl.state.step;
}

const SamplerState& Sampler::state() const { return impl_->state; }

void Sampler::restore(const SamplerState& state) {
  Impl& impl = *impl_;
  require<UsageError>(state.sources.size() == impl.mixture.size(),
                      "sampler: the saved state has {} datasets, the mixture {}",
                      state.sources.size(), impl.mixture.size());
  bool good = state.step >= 0;
  for (std::size_t i = 0; i < state.sources.size(); ++i) {
    const SourceState& source = state.sources[i];
    good = good && source.rows >= 0 && source.epoch >= 0 && source.row >= 0 && source.window >= 0;
    if (impl.options.mode == SamplingMode::contiguous) continue;
    good = good && source.window < impl.packers[i].windows() &&
           source.row <= impl.packers[i].rows_of(source);
  }
  require<UsageError>(good, "sampler: the saved state does not fit these datasets and options");
  impl.state = state;
}

std::int64_t Sampler::epoch() const {
  std::int64_t least = impl_->state.sources.front().epoch;
  for (const SourceState& source : impl_->state.sources) least = std::min(least, source.epoch);
  return least;
}

Json to_json(const SamplerState& state) {
  Json sources = Json::array();
  for (const SourceState& source : state.sources) {
    sources.push_back({{"rows", source.rows},
                       {"epoch", source.epoch},
                       {"window", source.window},
                       {"row", source.row}});
  }
  return {{"step", state.step}, {"sources", std::move(sources)}};
}

SamplerState sampler_state_from_json(const Json& json, std::string_view file) {
  SamplerState state;
  state.step = get<std::int64_t>(json, "step", file);
  for (const Json& source : get<std::vector<Json>>(json, "sources", file)) {
    state.sources.push_back(
        {get<std::int64_t>(source, "rows", file), get<std::int64_t>(source, "epoch", file),
         get<std::int64_t>(source, "window", file), get<std::int64_t>(source, "row", file)});
  }
  return state;
}

struct EvalBatches::Plan {
  PackedRows packed;  // packed mode
  std::int64_t rows;
};

EvalBatches::EvalBatches(Dataset dataset, const SamplerOptions& options)
    : dataset_(std::move(dataset)), options_(options) {
  check_options(options);
  check_dataset(dataset_, options, 2);
  Plan plan;
  if (options.mode == SamplingMode::contiguous) {
    plan.rows = (dataset_.tokens() - 1 + options.cols - 1) / options.cols;
  } else {
    std::vector<std::int64_t> all(static_cast<std::size_t>(dataset_.documents()));
    std::iota(all.begin(), all.end(), 0);
    plan.packed = pack_documents(dataset_, all, options.cols);
    plan.rows = plan.packed.rows();
  }
  plan_ = std::make_unique<const Plan>(std::move(plan));
}

EvalBatches::~EvalBatches() = default;
EvalBatches::EvalBatches(EvalBatches&&) noexcept = default;

std::int64_t EvalBatches::size() const { return (plan_->rows + options_.rows - 1) / options_.rows; }

void EvalBatches::get(std::int64_t index, Batch& batch) const {
  require(index >= 0 && index < size(), "validation batch {} of {}", index, size());
  start_batch(batch, options_);
  const TokenRange range = dataset_.range();
  for (std::int64_t row = 0; row < options_.rows; ++row) {
    const std::int64_t i = index * options_.rows + row;
    if (i >= plan_->rows) {
      put_padding(batch, options_, row, 0);
    } else if (options_.mode == SamplingMode::contiguous) {
      const std::int64_t begin = range.begin + i * options_.cols;
      const Piece piece{begin, std::min(options_.cols, range.end - 1 - begin)};
      put_row(batch, options_, dataset_, std::span(&piece, 1), row);
    } else {
      put_row(batch, options_, dataset_, plan_->packed.row(i), row);
    }
  }
  finish_batch(batch, options_);
}

}  // namespace stepstone
