#include "serve/embedding_exchange.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace stepstone {

std::string to_base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t n = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t bits = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      bits = bits << 8 | (j < n ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      out += j <= n ? kDigits[bits >> (18 - 6 * j) & 63] : '=';
    }
  }
  return out;
}

void EmbeddingExchange::take(std::size_t request, EngineEvent event) {
  require(std::ranges::all_of(event.embedding, [](float x) { return std::isfinite(x); }),
          "the model computes numbers that are none for this input: its weights may be damaged");
  vectors_[request] = std::move(event.embedding);
  tokens_ += event.usage.prompt_tokens;
}

void EmbeddingExchange::complete() {
  static_assert(std::endian::native == std::endian::little);
  Json data = Json::array();
  for (std::size_t i = 0; i < vectors_.size(); ++i) {
    const auto& v = vectors_[i];
    Json item = {{"object", "embedding"}, {"index", i}};
    if (base64_) {
      item["embedding"] =
          to_base64({reinterpret_cast<const char*>(v.data()), v.size() * sizeof(float)});
    } else {
      item["embedding"] = v;
    }
    data.push_back(std::move(item));
  }
  const Json json = {{"object", "list"},
                     {"model", model_.name()},
                     {"data", std::move(data)},
                     {"usage", {{"prompt_tokens", tokens_}, {"total_tokens", tokens_}}}};
  reply().send({200, json.dump()});
}

}  // namespace stepstone
