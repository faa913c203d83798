#include "data/stats.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <string>
#include <unordered_set>

#include "core/threads.h"
#include "data/utf8.h"
#include "io/hash.h"

namespace stepstone {
namespace {

bool is_han(std::uint32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x3134F) || (c >= 0xF900 && c <= 0xFAFF);
}
bool is_kana(std::uint32_t c) { return c >= 0x3041 && c <= 0x30FF; }
bool is_hangul(std::uint32_t c) {
  return (c >= 0xAC00 && c <= 0xD7A3) || (c >= 0x1100 && c <= 0x11FF);
}
bool is_latin(std::uint32_t c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (c >= 0xC0 && c <= 0x24F && c != 0xD7 && c != 0xF7);
}
bool is_space(std::uint32_t c) {
  return c == ' ' || (c >= '\t' && c <= '\r') || c == 0xA0 || c == 0x3000;
}
// Letters of scripts that are none of the above, roughly: Greek to Georgian and beyond.
bool is_other_letter(std::uint32_t c) {
  return (c >= 0x370 && c <= 0x10FF) || (c >= 0x1200 && c <= 0x1FFF);
}

const std::unordered_set<std::string_view>& common_english() {
  static const std::unordered_set<std::string_view> words = {
      "the",  "of",    "and",  "a",    "to",   "in",    "is",   "you",  "that",  "it",
      "he",   "was",   "for",  "on",   "are",  "as",    "with", "his",  "they",  "i",
      "at",   "be",    "this", "have", "from", "or",    "had",  "by",   "but",   "not",
      "what", "all",   "were", "we",   "when", "your",  "can",  "said", "there", "an",
      "each", "which", "she",  "do",   "how",  "their", "if",   "will", "up",    "her",
      "my",   "has",   "who",  "me",   "its",  "so",    "no",   "out",  "him",   "these"};
  return words;
}

// What one pass over a text finds.
struct Scan {
  std::int64_t characters = 0, words = 0;
  std::int64_t han = 0, kana = 0, hangul = 0, latin = 0, other = 0;
  std::int64_t latin_words = 0, english_words = 0;
};

class Scanner {
 public:
  void add(std::string_view text) {
    for (std::size_t at = 0; at < text.size();) add(next_code_point(text, at));
    end_word();
  }
  const Scan& result() const { return scan_; }

 private:
  void add(std::uint32_t c) {
    ++scan_.characters;
    const bool ideograph = is_han(c) || is_kana(c);
    if (is_han(c)) ++scan_.han;
    if (is_kana(c)) ++scan_.kana;
    if (is_hangul(c)) ++scan_.hangul;
    if (is_other_letter(c)) ++scan_.other;
    if (ideograph || is_space(c)) {
      end_word();
      scan_.words += ideograph;
      return;
    }
    in_word_ = true;
    if (is_latin(c)) {
      ++scan_.latin;
      // Longer words are none of the common ones; what counts is that they are not.
      if (word_.size() < 16) {
        word_ += c < 128 ? static_cast<char>(c | 0x20) : '?';
      }
    } else {
      end_latin_word();
    }
  }

  void end_latin_word() {
    if (word_.empty()) return;
    ++scan_.latin_words;
    scan_.english_words += common_english().contains(word_);
    word_.clear();
  }

  void end_word() {
    end_latin_word();
    scan_.words += in_word_;
    in_word_ = false;
  }

  Scan scan_;
  std::string word_;
  bool in_word_ = false;
};

TextLanguage language_of(const Scan& scan) {
  // A Han character says about as much as two Latin letters do.
  const std::int64_t east = 2 * (scan.han + scan.kana + scan.hangul);
  const std::int64_t letters = east + scan.latin + scan.other;
  if (letters == 0) return TextLanguage::other;
  if (east * 2 > letters) {
    if (scan.hangul > scan.han + scan.kana) return TextLanguage::ko;
    // Japanese has kana in every sentence; Chinese has none.
    return scan.kana * 10 > scan.han ? TextLanguage::ja : TextLanguage::zh;
  }
  const bool latin = scan.latin * 2 > letters;
  return latin && scan.english_words * 10 >= scan.latin_words ? TextLanguage::en
                                                              : TextLanguage::other;
}

struct DocumentInfo {
  Scan scan;
  std::int64_t bytes = 0;
  Hash128 hash;
};

DocumentInfo inspect(const Document& document) {
  DocumentInfo info;
  Scanner scanner;
  Hasher hasher;
  const auto add = [&](std::string_view text) {
    scanner.add(text);
    const std::uint64_t size = text.size();
    hasher.update(&size, sizeof(size));
    hasher.update(text.data(), text.size());
    info.bytes += static_cast<std::int64_t>(size);
  };
  if (!document.is_chat()) add(document.text);
  for (const Message& message : document.messages) {
    hasher.update(message.role.c_str(), message.role.size() + 1);
    add(message.content);
  }
  info.scan = scanner.result();
  info.hash = hasher.digest();
  return info;
}

struct HashOfHash {
  std::size_t operator()(const Hash128& hash) const { return hash.low; }
};

// Lengths in buckets that grow by 1 %, for the median.
int length_bucket(std::int64_t length) {
  return static_cast<int>(std::log(static_cast<double>(length) + 1) / std::log(1.01));
}

class Collector {
 public:
  void add(const Document& document, const DocumentInfo& info) {
    ++stats_.documents;
    stats_.chats += document.is_chat();
    stats_.messages += static_cast<std::int64_t>(document.messages.size());
    stats_.bytes += info.bytes;
    const std::int64_t length = info.scan.characters;
    stats_.characters += length;
    stats_.words += info.scan.words;
    const auto language = static_cast<std::size_t>(language_of(info.scan));
    ++stats_.language_documents[language];
    stats_.language_bytes[language] += info.bytes;
    if (!seen_.insert(info.hash).second) {
      ++stats_.duplicates;
      stats_.duplicate_bytes += info.bytes;
    }
    const auto bucket =
        static_cast<std::size_t>(std::bit_width(static_cast<std::uint64_t>(length) | 1) - 1);
    if (bucket >= stats_.length_histogram.size()) stats_.length_histogram.resize(bucket + 1);
    ++stats_.length_histogram[bucket];
    ++lengths_[length_bucket(length)];
    stats_.shortest = stats_.documents == 1 ? length : std::min(stats_.shortest, length);
    stats_.longest = std::max(stats_.longest, length);
  }

  CorpusStats finish() {
    std::int64_t below = 0;
    for (const auto& [bucket, count] : lengths_) {
      below += count;
      if (below * 2 < stats_.documents) continue;
      const double middle = std::pow(1.01, bucket + 0.5) - 1;
      stats_.median =
          std::clamp(static_cast<std::int64_t>(middle + 0.5), stats_.shortest, stats_.longest);
      break;
    }
    return std::move(stats_);
  }

 private:
  CorpusStats stats_;
  std::unordered_set<Hash128, HashOfHash> seen_;
  std::map<int, std::int64_t> lengths_;
};

}  // namespace

std::string_view name(TextLanguage language) {
  static constexpr std::string_view kNames[] = {"en", "zh", "ja", "ko", "other"};
  return kNames[static_cast<std::size_t>(language)];
}

TextLanguage guess_language(std::string_view text) {
  Scanner scanner;
  scanner.add(text);
  return language_of(scanner.result());
}

CorpusStats corpus_stats(DocumentReader& reader, std::int64_t files) {
  constexpr std::int64_t kBlockBytes = 8 << 20;
  Collector collector;
  std::vector<Document> block;
  std::vector<DocumentInfo> infos;
  for (bool more = true; more;) {
    block.clear();
    for (std::size_t bytes = 0; bytes < kBlockBytes;) {
      Document document;
      more = reader.next(document);
      if (!more) break;
      bytes += document.text.size() + 64;
      for (const Message& message : document.messages) bytes += message.content.size();
      block.push_back(std::move(document));
    }
    infos.assign(block.size(), {});
    parallel_for(static_cast<std::int64_t>(block.size()), 16,
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t i = begin; i < end; ++i) {
                     const auto k = static_cast<std::size_t>(i);
                     infos[k] = inspect(block[k]);
                   }
                 });
    for (std::size_t i = 0; i < block.size(); ++i) collector.add(block[i], infos[i]);
  }
  CorpusStats stats = collector.finish();
  stats.files = files;
  return stats;
}

Json to_json(const CorpusStats& stats) {
  Json languages = Json::object();
  for (int i = 0; i < kTextLanguages; ++i) {
    const auto k = static_cast<std::size_t>(i);
    if (stats.language_documents[k] == 0) continue;
    languages[std::string(name(static_cast<TextLanguage>(i)))] = {
        {"documents", stats.language_documents[k]}, {"bytes", stats.language_bytes[k]}};
  }
  Json histogram = Json::array();
  for (std::size_t i = 0; i < stats.length_histogram.size(); ++i) {
    if (stats.length_histogram[i] == 0) continue;
    histogram.push_back({{"from", std::int64_t{1} << i},
                         {"below", std::int64_t{2} << i},
                         {"documents", stats.length_histogram[i]}});
  }
  return {{"files", stats.files},
          {"documents", stats.documents},
          {"chats", stats.chats},
          {"messages", stats.messages},
          {"bytes", stats.bytes},
          {"characters", stats.characters},
          {"words", stats.words},
          {"languages", std::move(languages)},
          {"duplicates", {{"documents", stats.duplicates}, {"bytes", stats.duplicate_bytes}}},
          {"length",
           {{"shortest", stats.shortest},
            {"median", stats.median},
            {"longest", stats.longest},
            {"histogram", std::move(histogram)}}}};
}

}  // namespace stepstone
