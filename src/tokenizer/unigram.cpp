#include <algorithm>
#include <limits>

#include "core/error.h"
#include "tokenizer/subword.h"
#include "tokenizer/unicode.h"

namespace stepstone {
namespace {

// How much less probable an unknown character is than the rarest token.
constexpr double kUnknownPenalty = 10;

}  // namespace

template <typename Real>
Unigram<Real>::Unigram(const std::vector<std::string>& tokens, std::vector<Real> scores,
                       Real min_score, const std::vector<std::int32_t>& user_defined,
                       Unknowns unknowns)
    : scores_(std::move(scores)),
      user_defined_(tokens.size(), false),
      unknown_score_(static_cast<Real>(min_score - static_cast<Real>(kUnknownPenalty))),
      max_score_(std::numeric_limits<Real>::lowest()),
      unknowns_(std::move(unknowns)) {
  std::vector<std::pair<std::string_view, std::int32_t>> entries;
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    if (tokens[id].empty()) continue;
    entries.emplace_back(tokens[id], static_cast<std::int32_t>(id));
    max_score_ = std::max(max_score_, scores_[id]);
  }
  for (const std::int32_t id : user_defined) user_defined_[static_cast<std::size_t>(id)] = true;
  trie_ = Trie(std::move(entries));
}

template <typename Real>
void Unigram<Real>::encode(std::string_view piece, std::vector<std::int32_t>& out) const {
  require(piece.size() < std::size_t{1} << 31, "a piece of {} bytes is too long to encode",
          piece.size());
  struct End {
    Real score = 0;
    std::int32_t id = -1;
    std::uint32_t begin = 0xFFFFFFFF;
  };
  constexpr std::int32_t kUnknown = -1;
  std::vector<End> ends(piece.size() + 1);
  const char* const text_end = piece.data() + piece.size();
  for (std::size_t at = 0; at < piece.size();) {
    const auto length = static_cast<std::size_t>(utf8_step(piece.data() + at, text_end).length);
    const Real before = ends[at].score;
    bool single = false;
    const auto offer = [&](std::size_t end, std::int32_t id, Real score) {
      End& best = ends[end];
      const Real candidate = score + before;
      if (best.begin == 0xFFFFFFFF || candidate > best.score) {
        best = {candidate, id, static_cast<std::uint32_t>(at)};
      }
    };
    trie_.prefixes(piece.substr(at), [&](std::size_t size, std::int32_t id) {
      const auto i = static_cast<std::size_t>(id);
      const Real score = user_defined_[i]
                             ? static_cast<Real>(static_cast<Real>(size) * max_score_ - 0.1)
                             : scores_[i];
      offer(at + size, id, score);
      single |= size == length;
    });
    if (!single) offer(at + length, kUnknown, unknown_score_);
    at += length;
  }
  const std::size_t first = out.size();
  bool after_unknown = false;
  for (std::size_t end = piece.size(); end > 0; end = ends[end].begin) {
    if (ends[end].id != kUnknown) {
      out.push_back(ends[end].id);
    } else if (unknowns_.bytes) {
      for (std::size_t i = end; i > ends[end].begin; --i) {
        out.push_back((*unknowns_.bytes)[static_cast<unsigned char>(piece[i - 1])]);
      }
    } else if (!after_unknown && unknowns_.unk) {
      out.push_back(*unknowns_.unk);
    }
    after_unknown = ends[end].id == kUnknown;
  }
  std::reverse(out.begin() + static_cast<std::ptrdiff_t>(first), out.end());
}

template class Unigram<float>;
template class Unigram<double>;

}  // namespace stepstone
