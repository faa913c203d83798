#include "tokenizer/tokenizer_report.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "core/suggest.h"
#include "io/utf8.h"
#include "tokenizer/tokenizer_model.h"

namespace stepstone {
namespace {

std::string_view pattern_name(const TokenizerModel& model) {
  if (model.kind == TokenizerModel::Kind::characters) return "characters";
  for (const SplitStep& step : model.splits) {
    if (step.regex) return "a regular expression";
    if (step.pattern == Pattern::gpt2) return "gpt2";
    if (step.pattern == Pattern::cl100k) return "cl100k";
    if (step.pattern == Pattern::qwen2) return "qwen2";
  }
  return model.splits.empty() ? "none" : "several steps";
}

Json role(const Tokenizer& tokenizer, std::optional<std::int32_t> id) {
  return id ? Json(to_utf8_lossy(tokenizer.token_bytes(*id))) : Json();
}

}  // namespace

Pattern parse_pattern(std::string_view name) {
  static const std::vector<std::string> kNames = {"gpt2", "cl100k", "llama3", "qwen2"};
  if (name == "gpt2") return Pattern::gpt2;
  if (name == "cl100k" || name == "llama3") return Pattern::cl100k;
  if (name == "qwen2") return Pattern::qwen2;
  throw UsageError(fmt::format("pattern: expected one of {}, got \"{}\"{}", fmt::join(kNames, ", "),
                               name, did_you_mean(name, kNames)));
}

std::vector<std::int32_t> parse_ids(std::string_view text) {
  std::vector<std::int32_t> ids;
  const char* const end = text.data() + text.size();
  for (const char* p = text.data(); p < end;) {
    if (std::string_view(" ,\n\r\t[]").find(*p) != std::string_view::npos) {
      ++p;
      continue;
    }
    std::int32_t id = 0;
    const auto [rest, error] = std::from_chars(p, end, id);
    require<UsageError>(error == std::errc() && id >= 0, "token ids: {} is none",
                        quoted(std::string_view(p, std::min<std::ptrdiff_t>(end - p, 12))));
    ids.push_back(id);
    p = rest;
  }
  return ids;
}

std::string quoted(std::string_view bytes) {
  std::string out = "\"";
  for (std::size_t i = 0; i < bytes.size();) {
    const std::size_t length = utf8_length(bytes.substr(i));
    const auto c = static_cast<unsigned char>(bytes[i]);
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '"' || c == '\\') {
      out += {'\\', static_cast<char>(c)};
    } else if (length == 0 || c < 0x20 || c == 0x7F) {
      out += fmt::format("\\x{:02x}", c);
    } else {
      out += bytes.substr(i, length);
    }
    i += std::max<std::size_t>(1, length);
  }
  return out + '"';
}

Json tokenizer_info(const Tokenizer& tokenizer) {
  const TokenizerModel& model = tokenizer.model();
  const bool characters = model.kind == TokenizerModel::Kind::characters;
  Json control = Json::object();
  std::size_t longest = 0, bytes = 0, texts = 0;
  for (std::int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const std::string_view token = tokenizer.token_bytes(id);
    if (tokenizer.is_special(id)) {
      control[to_utf8_lossy(token)] = id;
      continue;
    }
    longest = std::max(longest, token.size());
    bytes += token.size();
    ++texts;
  }
  return {{"kind", characters                   ? "characters"
                   : model.bpe.merges().empty() ? "bytes"
                                                : "byte-level BPE"},
          {"vocab_size", tokenizer.vocab_size()},
          {"merges", model.bpe.merges().size()},
          {"pattern", pattern_name(model)},
          {"normalizer", model.compose ? Json("NFC") : Json()},
          {"control_tokens", control},
          {"bos", role(tokenizer, tokenizer.bos())},
          {"eos", role(tokenizer, tokenizer.eos())},
          {"pad", role(tokenizer, tokenizer.pad())},
          {"longest_token_bytes", longest},
          {"mean_token_bytes",
           texts > 0 ? static_cast<double>(bytes) / static_cast<double>(texts) : 0}};
}

std::string info_table(const Json& info) {
  std::string out;
  for (const auto& [key, value] : info.items()) {
    std::string label = key;
    std::ranges::replace(label, '_', ' ');
    std::string text = value.is_null() ? "–" : value.is_string() ? value.get<std::string>() : "";
    if (value.is_number_float()) text = fmt::format("{:.2f}", value.get<double>());
    if (value.is_number_integer()) text = fmt::format("{}", value.get<std::int64_t>());
    if (value.is_object()) {
      for (const auto& [token, id] : value.items()) {
        text += fmt::format("{}{} {}", text.empty() ? "" : ", ", token, id.get<std::int64_t>());
      }
    }
    out += fmt::format("{:<20} {}\n", label, text);
  }
  return out;
}

}  // namespace stepstone
