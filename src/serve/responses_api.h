// OpenAI's Responses API, as a dress over chats: /v1/responses. Nothing is stored between requests.
#pragma once

#include "serve/reply_exchange.h"

namespace stepstone {

// The request as a body of /v1/chat/completions. Throws ApiError naming the field.
std::string chat_of_responses(const RequestBody& body);

class ResponsesExchange : public ReplyExchange {
 public:
  // `body`: the request as it came, whose settings the answer repeats.
  ResponsesExchange(ServedModel& model, std::shared_ptr<HttpReply> reply, ChatRequest request,
                    const Json& body);

 protected:
  void take_reply(std::size_t choice, const ReplyPart& part) override;
  Json whole() override;
  void end_stream() override;
  void send_error(const ApiError& error) override;

 private:
  // An item of the answer that a stream is telling of.
  struct Item {
    std::string id;
    bool is_text = false, open = false;
    std::size_t call = 0;
    std::string text = {};
  };

  void send(std::string_view type, Json fields);
  Json response(std::string_view status, Json output) const;
  std::string_view status() const;
  Json item_json(const Item& item, std::string_view status) const;
  Json part_json(const Item& item) const;
  // All items, for an answer that is complete.
  Json output() const;
  Item& open_item(Item item);
  void close_item();

  const std::string id_ = random_id("resp_");
  const Json request_;
  std::vector<Item> items_;
  std::int64_t events_ = 0;
};

}  // namespace stepstone
