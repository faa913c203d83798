// The answer of /v1/embeddings.
#pragma once

#include <vector>

#include "serve/exchange.h"
#include "serve/served_model.h"

namespace stepstone {

class EmbeddingExchange : public Exchange {
 public:
  // `base64`: vectors as little-endian f32 in base64 rather than as lists of numbers.
  EmbeddingExchange(ServedModel& model, std::shared_ptr<HttpReply> reply, std::size_t inputs,
                    bool base64)
      : Exchange(model.engine(), std::move(reply)),
        model_(model),
        base64_(base64),
        vectors_(inputs) {}

 protected:
  void take(std::size_t request, EngineEvent event) override;
  void complete() override;
  void fail(const ApiError& error) override { reply().send(error.response()); }

 private:
  const ServedModel& model_;
  const bool base64_;
  std::vector<std::vector<float>> vectors_;
  std::int64_t tokens_ = 0;
};

std::string to_base64(std::string_view bytes);

}  // namespace stepstone
