// Speculation: guesses of what a text will say next. The model then looks at the guessed tokens in
// one step, as rows of one product, and as many are kept as it would have drawn itself, with the
// same random numbers: text and log-probabilities are those without speculation, bit for bit
// (Leviathan et al. 2023, arXiv:2211.17192, with the draw coupled instead of rejected).
//
//   prompt lookup  what followed the last time that the text said the same (Saxena 2023)
//   draft model    what a smaller model of the same vocabulary draws with the text's own numbers
//
// How many tokens are guessed depends on how often guesses were right: a guess of k tokens is
// worth its rows while p^k exceeds what a row costs.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "stone/stone.h"

namespace stepstone {

class EngineSequence;

struct SpeculationOptions {
  bool lookup = false;
  std::int64_t lookup_match = 3;            // tokens that must be the same
  std::int64_t lookup_most = 48;            // tokens guessed at most
  std::shared_ptr<const Stone> model = {};  // the draft model, of load_draft_model()
  std::int64_t model_most = 16;
  std::int64_t model_least = 0;  // fewer are not worth it
  double model_p_min = 0;        // of each: what the draft model gives the token, before sampling

  bool any() const { return lookup || model != nullptr; }
};

// Reads and packs it. Throws what load_stone throws.
std::shared_ptr<const Stone> load_draft_model(const std::filesystem::path& path);

// What followed the latest of the longest earlier occurrences of the end of `text`, of at least
// `match` tokens: up to `most` tokens. It may run on into itself, as a text that repeats does.
std::vector<std::int32_t> looked_up(std::span<const std::int32_t> text, std::int64_t match,
                                    std::int64_t most);

// How often guesses were right of late, and so how long the next may be.
class DraftLength {
 public:
  // A guess had `right` tokens right, then one wrong if `wrong`.
  void observe(std::int64_t right, bool wrong);
  // No guess was made: what is known grows old.
  void rest();
  // The most tokens of which the last is still right with probability `worth` or more.
  std::int64_t length(double worth) const;

 private:
  double right_ = kRight, tried_ = kTried;
  static constexpr double kRight = 0.5, kTried = 1;  // before anything is known
};

// Guesses of one text.
struct Draft {
  enum class Source : std::uint8_t { lookup, model };
  std::vector<std::int32_t> tokens;            // that may follow
  std::int64_t sent = 0;                       // of those, so many are looked at in this step
  std::optional<std::int32_t> looked_up = {};  // the first token that lookup would guess
  std::int64_t wanted = 0;                     // of the draft model
  double p_min = 0;                            // of each of those
  Source source = Source::lookup;
  DraftLength lookup_length, model_length;
  std::optional<KvCache> cache;  // of the draft model

  // For the next step; what is known stays.
  void clear();
  DraftLength& length() { return source == Source::lookup ? lookup_length : model_length; }
};

class Drafter {
 public:
  // `pages` of keys and values, kept as `cache` says, for the draft model. Throws UsageError unless
  // that has the target's vocabulary.
  Drafter(const SpeculationOptions& options, const Transformer& target, const Tokenizer& tokenizer,
          const CacheTypes& cache, std::int64_t pages);

  // Guesses for those that are being written. The step computes `rows` tokens without them, and
  // `spare` guessed ones at most.
  void guess(std::span<EngineSequence* const> sequences, std::int64_t rows, std::int64_t spare);

 private:
  // Guesses of `most` tokens where that many are `worth` it.
  void ask_model(std::span<EngineSequence* const> sequences, std::int64_t most, double worth);
  // Those whose texts the draft model now knows to the end, with a first guess each. It reads a
  // limited number of tokens at a time.
  std::vector<EngineSequence*> read(std::span<EngineSequence* const> sequences);
  // The draft model goes on with tokens[segments[i] .. segments[i + 1]) of sequence i.
  void run(std::span<EngineSequence* const> sequences, std::span<const std::int32_t> tokens,
           std::span<const std::int32_t> segments);

  SpeculationOptions options_;
  double model_cost_ = 0;  // of a guess, in steps of the target
  std::shared_ptr<KvPool> pool_;
};

}  // namespace stepstone
