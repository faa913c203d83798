// Anthropic's Messages API, as a dress over chats: /v1/messages and /v1/messages/count_tokens.
#pragma once

#include "serve/reply_exchange.h"

namespace stepstone {

// The request as a body of /v1/chat/completions. Throws ApiError naming the field.
std::string chat_of_messages(const RequestBody& body, bool needs_max_tokens);

// {"type": "error", "error": {"type", "message"}}
Json messages_error(const ApiError& error);

class MessagesExchange : public ReplyExchange {
 public:
  using ReplyExchange::ReplyExchange;

 protected:
  void take_reply(std::size_t choice, const ReplyPart& part) override;
  Json whole() override;
  void end_stream() override;
  Json error_body(const ApiError& error) const override { return messages_error(error); }
  void send_error(const ApiError& error) override { send_event(error_body(error), "error"); }

 private:
  Json frame(Json content) const;
  // "stop_reason" and "stop_sequence".
  Json stop() const;
  void open_block(Json block);
  void close_block();
  void send_delta(Json delta);

  const std::string id_ = random_id("msg_");
  std::int64_t block_ = -1;  // the last one begun
  bool open_ = false, open_text_ = false;
};

}  // namespace stepstone
