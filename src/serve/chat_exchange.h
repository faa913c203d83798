// The answers of /v1/chat/completions.
#pragma once

#include "serve/reply_exchange.h"

namespace stepstone {

class ChatExchange : public ReplyExchange {
 public:
  using ReplyExchange::ReplyExchange;

 protected:
  void take_reply(std::size_t choice, const ReplyPart& part) override;
  Json whole() override;
  void end_stream() override;

 private:
  Json frame(bool chunk) const;
  Json logprobs(const std::vector<ScoredToken>& tokens) const;
  Json finish_of(const Reply& reply) const;

  const std::string id_ = random_id("chatcmpl-");
};

}  // namespace stepstone
