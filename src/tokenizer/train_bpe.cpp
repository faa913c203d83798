#include "tokenizer/train_bpe.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <unordered_set>
#include <utility>

#include "core/error.h"
#include "core/threads.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/pair_merger.h"
#include "tokenizer/tokenizer_model.h"
#include "tokenizer/word_counts.h"

namespace stepstone {
namespace {

// Texts are counted in batches of about this size, cut into parts that threads take in turn.
constexpr std::size_t kBatchBytes = std::size_t{4} << 20;
constexpr std::size_t kPartBytes = std::size_t{128} << 10;

void check(const BpeTrainOptions& options) {
  const auto least = static_cast<std::int64_t>(256 + options.special_tokens.size());
  require<UsageError>(options.vocab_size >= least && options.vocab_size <= 1 << 24,
                      "vocabulary size {}: expected {} (the bytes and special tokens) to {}",
                      options.vocab_size, least, 1 << 24);
  require<UsageError>(options.memory_bytes >= std::size_t{1} << 20,
                      "memory of {} bytes to train a tokenizer: expected 1 MiB or more",
                      options.memory_bytes);
  std::unordered_set<std::string> seen;
  for (const std::string& special : options.special_tokens) {
    require<UsageError>(!special.empty() && seen.insert(special).second,
                        "special token \"{}\" is empty or there twice", special);
    const auto bytes = from_byte_level(special);
    require<UsageError>(!bytes || bytes->size() != 1, "special token \"{}\" is the name of a byte",
                        special);
  }
}

// Where a long text may be cut without changing its words: before a space that follows a
// character other than a space. Every one of the patterns begins a word there.
std::size_t cut_after(std::string_view text, std::size_t at) {
  for (; at < text.size(); ++at) {
    if (text[at] == ' ' &&
        detail::kByteClasses[static_cast<unsigned char>(text[at - 1])] != detail::kSpace &&
        static_cast<unsigned char>(text[at - 1]) < 0x80) {
      return at;
    }
  }
  return text.size();
}

std::vector<std::string_view> parts_of(const std::vector<std::string>& texts, Pattern pattern) {
  const bool can_cut =
      pattern == Pattern::gpt2 || pattern == Pattern::cl100k || pattern == Pattern::qwen2;
  std::vector<std::string_view> parts;
  for (const std::string_view text : texts) {
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = can_cut && text.size() - begin > kPartBytes
                                  ? cut_after(text, begin + kPartBytes)
                                  : text.size();
      parts.push_back(text.substr(begin, end - begin));
      begin = end;
    }
  }
  return parts;
}

void count_batch(const std::vector<std::string>& texts, Pattern pattern, int tables,
                 WordCounts& counts) {
  const auto parts = parts_of(texts, pattern);
  // One table per thread. Which parts fall to which table does not matter: counts are added up.
  std::atomic<std::size_t> next = 0;
  parallel_for(tables, 1, [&](std::int64_t table, std::int64_t) {
    for (std::size_t i = next++; i < parts.size(); i = next++) {
      for_each_piece(pattern, parts[i],
                     [&](std::string_view word) { counts.add(static_cast<int>(table), word); });
    }
  });
}

std::uint64_t count_words(const TextSource& source, const BpeTrainOptions& options, int tables,
                          WordCounts& counts) {
  std::uint64_t bytes = 0;
  std::vector<std::string> batch;
  for (bool more = true; more;) {
    std::size_t size = 0;
    std::size_t used = 0;
    while (size < kBatchBytes) {
      if (used == batch.size()) batch.emplace_back();
      batch[used].clear();
      more = source(batch[used]);
      if (!more) break;
      size += batch[used++].size();
    }
    batch.resize(used);
    count_batch(batch, options.pattern, tables, counts);
    bytes += size;
    if (options.progress) {
      options.progress({.stage = BpeTrainProgress::Stage::counting,
                        .bytes = bytes,
                        .vocab_size = static_cast<std::int32_t>(256)});
    }
  }
  return bytes;
}

std::size_t merging_bytes(std::string_view word) {
  return PairMerger::kBytesPerWord + PairMerger::kBytesPerSymbol * word.size();
}

// Words are taken by descending count and, of the last count that fits, by ascending bytes.
class Selection {
 public:
  Selection(const WordCounts& counts, std::size_t memory_bytes) {
    std::map<std::uint64_t, std::size_t> need;  // memory by count
    counts.for_each([&](std::string_view word, std::uint64_t count) {
      if (word.size() > 1) need[count] += merging_bytes(word);
    });
    for (auto at = need.rbegin(); at != need.rend(); ++at) {
      if (at->second > memory_bytes) {
        last_count_ = at->first;
        left_ = memory_bytes;
        return;
      }
      memory_bytes -= at->second;
    }
  }
  bool take(std::string_view word, std::uint64_t count) {
    if (word.size() < 2 || count > last_count_) return true;
    if (count < last_count_ || merging_bytes(word) > left_) return false;
    left_ -= merging_bytes(word);
    return true;
  }

 private:
  std::uint64_t last_count_ = 0;  // 0: everything fits
  std::size_t left_ = 0;
};

// Special tokens, then the bytes in the order of their byte-level characters.
std::vector<std::string> first_tokens(const std::vector<std::string>& specials,
                                      std::array<std::int32_t, 256>& byte_ids) {
  std::vector<std::string> bytes;
  for (int b = 0; b < 256; ++b) bytes.emplace_back(1, static_cast<char>(b));
  // UTF-8 sorts as its code points do.
  std::sort(bytes.begin(), bytes.end(), [](const std::string& a, const std::string& b) {
    return to_byte_level(a) < to_byte_level(b);
  });
  std::vector<std::string> tokens = specials;
  for (const std::string& byte : bytes) {
    byte_ids[static_cast<unsigned char>(byte[0])] = static_cast<std::int32_t>(tokens.size());
    tokens.push_back(byte);
  }
  return tokens;
}

Tokenizer finish(const PairMerger& merger, const std::array<std::int32_t, 256>& byte_ids,
                 const BpeTrainOptions& options) {
  auto model = std::make_shared<TokenizerModel>();
  for (const std::string& token : merger.tokens()) model->tokens.push_back(token);
  for (std::size_t i = 0; i < options.special_tokens.size(); ++i) {
    model->added.push_back(
        {.id = static_cast<std::int32_t>(i), .content = options.special_tokens[i]});
  }
  model->bpe = Bpe(byte_ids, merger.merges());
  model->splits.push_back({.pattern = options.pattern});
  model->index_added();
  return Tokenizer(std::move(model));
}

}  // namespace

Tokenizer train_bpe(const TextSource& source, const BpeTrainOptions& options,
                    BpeTrainReport* report) {
  check(options);
  BpeTrainReport numbers;
  const int tables = num_threads();
  const auto folder = options.temporary_folder.empty() ? std::filesystem::temp_directory_path()
                                                       : options.temporary_folder;
  std::array<std::int32_t, 256> byte_ids;
  auto tokens = first_tokens(options.special_tokens, byte_ids);
  PairMerger merger(std::move(tokens), options.special_tokens.size(), byte_ids);
  {
    WordCounts counts(tables, options.memory_bytes / 2, folder);
    numbers.bytes = count_words(source, options, tables, counts);
    numbers.sorted_runs = counts.run_count();
    Selection selection(counts, options.memory_bytes / 2);
    counts.for_each([&](std::string_view word, std::uint64_t count) {
      ++numbers.words;
      if (selection.take(word, count)) {
        merger.add_word(word, count);
      } else {
        ++numbers.words_left_out;
        numbers.left_out_occurrences += count;
      }
    });
  }
  merger.run(options.vocab_size, options.min_frequency, [&](std::int32_t size) {
    if (options.progress && size % 256 == 0) {
      options.progress(
          {.stage = BpeTrainProgress::Stage::merging, .bytes = numbers.bytes, .vocab_size = size});
    }
  });
  if (report != nullptr) *report = numbers;
  return finish(merger, byte_ids, options);
}

}  // namespace stepstone
