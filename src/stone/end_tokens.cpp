#include "stone/end_tokens.h"

#include <algorithm>

#include "io/json.h"

namespace stepstone {
namespace {

constexpr std::string_view kEndsOfTurn[] = {"<|im_end|>",    "<|eot_id|>", "<|eom_id|>",
                                            "<end_of_turn>", "<|end|>",    "<|endoftext|>"};

void take_json(const Json& ids, std::int64_t vocab_size, const std::string& file,
               std::vector<std::int32_t>& out) {
  constexpr std::string_view kField = "eos_token_id";
  if (ids.is_null()) return;
  for (const Json& id : ids.is_array() ? ids : Json::array({ids})) {
    out.push_back(json_detail::convert<std::int32_t>(id, file, kField));
    if (out.back() < 0 || out.back() >= vocab_size) {
      throw FormatError(file, kField,
                        fmt::format("{} is none of the model's {} tokens", out.back(), vocab_size));
    }
  }
}

}  // namespace

std::vector<std::int32_t> read_end_tokens(const std::filesystem::path& folder,
                                          std::int64_t vocab_size) {
  std::vector<std::int32_t> ids;
  for (const char* name : {"generation_config.json", "config.json"}) {
    const auto file = folder / name;
    if (!std::filesystem::exists(file)) continue;
    const Json json = read_json(file);
    if (!json.is_object()) throw FormatError(file.string(), "document", "expected an object");
    if (const Json* field = find_field(json, "eos_token_id")) {
      take_json(*field, vocab_size, file.string(), ids);
    }
  }
  return ids;
}

std::vector<std::int32_t> read_end_tokens(const GgufFile& file, std::int64_t vocab_size) {
  std::vector<std::int32_t> ids;
  for (const char* role : {"eos", "eot", "eom"}) {
    const std::string key = fmt::format("tokenizer.ggml.{}_token_id", role);
    if (!file.has(key)) continue;
    const auto id = file.get<std::uint32_t>(key);
    if (id >= vocab_size) file.fail(key, "is none of the model's tokens");
    ids.push_back(static_cast<std::int32_t>(id));
  }
  return ids;
}

std::vector<std::int32_t> end_tokens(const Tokenizer& tokenizer,
                                     const std::vector<std::int32_t>& named) {
  std::vector<std::int32_t> ids = named;
  if (const auto eos = tokenizer.eos()) ids.push_back(*eos);
  for (const std::string_view name : kEndsOfTurn) {
    if (const auto id = tokenizer.special_id(name)) ids.push_back(*id);
  }
  std::ranges::sort(ids);
  ids.erase(std::ranges::unique(ids).begin(), ids.end());
  return ids;
}

}  // namespace stepstone
